#pragma once
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "cp/service/job_summary.h"
#include "cp/service/tunnel_settings.h"
#include "cp/store/agent_store.h"

namespace ee::cp {

enum class ResourceOwner : std::uint8_t { agent, control_plane, foreign };
BOOST_DESCRIBE_ENUM(ResourceOwner, agent, control_plane, foreign)

/// A tunnel or DNS record at Cloudflare, and whose it is.
struct TunnelResource {
  cloudflare::Tunnel tunnel = {};
  ResourceOwner owner = ResourceOwner::foreign;
  std::optional<AgentId> agent_id = {};
  std::optional<std::string> vm_name = {};
  std::optional<AgentStatus> agent_status = {};  ///< nothing: no such agent
  bool is_protected = false;
  bool orphaned = false;
};
struct RecordResource {
  cloudflare::DnsRecord record = {};
  std::optional<AgentId> agent_id = {};
  std::optional<AgentStatus> agent_status = {};
  bool orphaned = false;
};
struct ResourceList {
  std::vector<TunnelResource> tunnels = {};
  std::vector<RecordResource> records = {};
};

/// Finds and removes what nobody needs: tunnels and records of this cluster whose agent is unknown or deleted, older
/// than an hour. Names and comments of other clusters are never touched. Thread-safe.
class TunnelOrphans {
 public:
  static constexpr Seconds kMinAge{3600};

  explicit TunnelOrphans(TunnelParts& parts) : parts_(parts) {}

  /// Everything, annotated. Many calls: for the admin routes and the sweep.
  cloudflare::CfResult<ResourceList> list(const cloudflare::CallContext& context);

  /// Job `cloudflare_orphan_sweep`: with `delete` removes orphans that the last sweep has seen too, with `report` only
  /// counts. Counts: `tunnels`, `records` (orphans seen), `deleted`, `failed`.
  Result<JobSummary> sweep(const std::stop_token& stop);

  /// Removes what was listed as an orphan if it still is one by the database; false: it is in use now.
  cloudflare::CfResult<bool> remove(const TunnelResource& resource, const std::string& actor,
                                    const cloudflare::CallContext& context);
  cloudflare::CfResult<bool> remove(const RecordResource& resource, const std::string& actor,
                                    const cloudflare::CallContext& context);

  struct Deleted {
    std::vector<std::string> deleted = {};
    std::vector<std::pair<std::string, std::string>> skipped = {};  ///< id and why: `not_orphaned`, or the failure
  };
  /// Removes those of `ids` (of tunnels or records) that are orphans now. The listing fails closed: nothing is deleted.
  cloudflare::CfResult<Deleted> remove(const std::vector<std::string>& ids, const std::string& actor,
                                       const cloudflare::CallContext& context);

 private:
  Result<std::optional<AgentRow>> agent(const AgentId& id);
  /// Whether it still is one, by the database.
  bool is_orphan(const std::optional<AgentId>& id, std::optional<UtcTime> created_at);
  cloudflare::CfResult<void> remove_tunnel(const TunnelResource& resource, const std::string& actor,
                                           const cloudflare::CallContext& context);
  cloudflare::CfResult<void> remove_record(const RecordResource& resource, const std::string& actor,
                                           const cloudflare::CallContext& context);
  void note_removed(const std::string& actor, const std::string& type, const std::string& id);

  TunnelParts& parts_;
  AgentStore agents_;
  std::mutex mutex_;
  std::set<std::string> seen_;  // orphans of the last sweep
};

}  // namespace ee::cp
