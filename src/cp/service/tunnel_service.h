#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "cp/service/actor.h"
#include "cp/service/job_summary.h"
#include "cp/service/tunnel_cleaner.h"
#include "cp/service/tunnel_orphans.h"
#include "cp/service/tunnel_provisioner.h"

namespace ee::cp {

/// Tunnels and host names of agents: asked for in the registration's transaction, tried for a moment in line, finished
/// by a job. Registration never depends on Cloudflare. Thread-safe.
///
/// Modes: `per_agent` makes a tunnel for each agent; not configured (dev only) gives placeholders and never calls out;
/// `none` (dev only) uses the agent's `direct_url`.
class TunnelService {
 public:
  /// Items of one pass of the worker, and how many of them at a time.
  static constexpr std::int64_t kBatch = 20;
  static constexpr std::size_t kParallel = 4;

  /// `on_work` wakes the job `tunnel_worker`; called outside of transactions.
  explicit TunnelService(TunnelParts parts, std::function<void()> on_work = {});
  TunnelService(const TunnelService&) = delete;
  TunnelService& operator=(const TunnelService&) = delete;

  /// Part of a registration: gives `row` its host name and the state of its tunnel; what a re-registering agent has, it
  /// keeps. `row` is not stored here. Errors: `in_use` when no host name is free; those of the database.
  Result<void> reserve(db::Transaction& tx, AgentRow& row, UtcTime now) const;

  /// After the registration's COMMIT: tries for at most `patience` to have the tunnel ready, without waiting for the
  /// budget of calls. Answers the row as it is then; `row` itself when there was nothing to do.
  AgentRow provision_now(const AgentRow& row, Milliseconds patience);

  /// Job `tunnel_worker`: provisioning, then clean-up, each what is due. Counts: `ready`, `removed`, `failed`, `quota`,
  /// `stuck` (agents that have waited for their clean-up for a day).
  Result<JobSummary> run_worker(const std::stop_token& stop);

  /// `stuck` of the last pass.
  std::int64_t stuck_cleanups() const { return stuck_.load(); }

  /// An administrator takes a live agent's tunnel and host name away: they are removed now, as far as Cloudflare lets
  /// it be, and made anew by the worker. Audited as `action` about `object`. Errors: agent_not_found (none that has a
  /// tunnel), concurrent_update, cloudflare_error (the worker goes on with the removal).
  Result<void> replace(const AgentId& agent, const Actor& actor, std::string_view action, const std::string& object,
                       const cloudflare::CallContext& context);

  TunnelOrphans& orphans() { return orphans_; }
  TunnelSettings settings() const { return parts_.settings(); }
  cloudflare::CloudflareClient& cloudflare() { return parts_.cloudflare; }
  /// Something has become due now (a deletion, a reset).
  void wake() const {
    if (on_work_) on_work_();
  }

 private:
  struct Item;
  Result<std::vector<Item>> due_items();
  std::string work_on(const Item& item, const std::stop_token& stop);
  Result<std::string> free_hostname(db::Transaction& tx, const AgentRow& row, const std::string& domain) const;

  TunnelParts parts_;
  std::function<void()> on_work_;
  TunnelProvisioner provisioner_;
  TunnelCleaner cleaner_;
  TunnelOrphans orphans_;
  AgentStore agents_;
  std::atomic<std::int64_t> stuck_ = 0;
};

/// The token that an agent is told: of a ready tunnel its own, of a placeholder `placeholder-<agent id>`, else nothing.
std::optional<std::string> tunnel_token_told(const AgentRow& row);

}  // namespace ee::cp
