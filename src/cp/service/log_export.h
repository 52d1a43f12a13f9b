#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/log.h"
#include "common/random.h"
#include "cp/service/actor.h"
#include "cp/service/agent_service.h"
#include "cp/service/container_logs.h"
#include "cp/service/export_writer.h"
#include "cp/service/log_buffer.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/deployment_event_store.h"
#include "cp/store/deployment_store.h"

namespace ee::cp {

/// What an export holds (03 section 10.3).
struct ExportWanted {
  UtcTime since = {};
  std::optional<UtcTime> until = {};
  log::Level min_level = log::Level::debug;
  std::vector<DeploymentId> deployments = {};  ///< empty: all
  bool control_plane = false;
  bool containers = false;
  bool deployment_rows = false;
  bool agents = false;
  bool jobs = false;
  bool settings = false;
  bool archive = true;  ///< tar.gz, else NDJSON

  /// JSON object, for the manifest and the audit.
  std::string json() const;
};

/// Writes logs and what belongs to them out, piece by piece: nothing but one part of an archive's member, or the lines
/// of the agents that are asked at once, is in memory. Thread-safe; `run` blocks for as long as it takes.
class LogExport {
 public:
  static constexpr Seconds kLongest{600};
  static constexpr std::size_t kMaxContainerDeployments = 2'000;
  static constexpr std::size_t kMaxAgentAnswer = 8UL * 1024 * 1024;
  /// Of each of those that are asked at once; who has more to tell is asked again when its turn comes, alone.
  static constexpr std::size_t kMaxFirstAnswer = 512UL * 1024;

  using Objects = std::function<Result<std::vector<std::string>>()>;
  struct Parts {
    db::Database& database;
    const LogBuffer& buffer;
    const ContainerLogs& containers;
    AgentService& agents;
    Objects jobs;      ///< JSON objects
    Objects settings;  ///< the same, without secrets
    Clock& clock;
    Random& random;
    std::string replica;
    std::string version;
  };
  explicit LogExport(Parts parts) : parts_(std::move(parts)) {}

  /// The row `logs_exported`. Errors: of the database; then there is no export.
  Result<void> audit(const Actor& actor, const ExportWanted& wanted);
  /// Writes and finishes. A part that cannot be had becomes an error of the export, which goes on.
  void run(const ExportWanted& wanted, ExportWriter& writer, const std::stop_token& stop) const;
  /// `easyenclave-logs-<utc>.tar.gz` or `.ndjson`.
  std::string file_name(const ExportWanted& wanted) const;

 private:
  struct Run;
  void control_plane(Run& run) const;
  void deployment_rows(Run& run) const;
  bool deployment(Run& run, const DeploymentRow& row) const;
  void agents(Run& run) const;
  void containers(Run& run) const;
  bool container_lines(Run& run, const std::vector<DeploymentRow>& rows) const;
  std::optional<LogTarget> target_of(Run& run, const DeploymentRow& row) const;
  bool each_deployment(Run& run, const DeploymentFilter& filter,
                       const std::function<bool(const DeploymentRow&)>& use) const;

  Parts parts_;
  DeploymentStore rows_;
  DeploymentEventStore events_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
