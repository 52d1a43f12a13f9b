#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/agent_service.h"
#include "cp/service/cleanup_api.h"
#include "cp/service/tunnel_service.h"
#include "cp/store/cleanup_store.h"

namespace ee::cp {

/// Finds what nobody needs any more and removes it when an administrator says so (05 section 11.1): first a plan, then
/// a run of exactly that, on a thread of its own, one at a time. Each item is looked at again right before its removal.
/// Thread-safe.
class Cleanup {
 public:
  static constexpr Seconds kLease{120};
  static constexpr Seconds kStartGrace{180};
  static constexpr std::size_t kParallel = 8;

  struct Parts {
    db::Database& database;
    Directory& directory;
    LiveMap& live;
    AgentService& agents;
    TunnelService& tunnels;
    Clock& clock;
    Random& random;
    const CursorCodec& cursors;
    std::function<Seconds()> stale_after;  ///< setting `agents.stale_hours`
    std::function<bool()> restore_hold;    ///< a restored database is not believed yet
    bool plan_required = false;            ///< production: what was not shown is not done
    bool single_process = true;            ///< nobody else runs on this database
  };
  /// All outlive it.
  explicit Cleanup(Parts parts);
  Cleanup(const Cleanup&) = delete;
  Cleanup& operator=(const Cleanup&) = delete;
  ~Cleanup();

  /// At the start: runs that a dead process has left are `failed`. Errors: of the database.
  Result<void> load();
  /// Ends the run that is under way, before its next item.
  void stop();

  /// What would be removed. Audited. Errors: of the database.
  Result<CleanupPlanView> plan(const CleanupRequest& wanted, const Actor& actor,
                               const cloudflare::CallContext& context);
  /// Begins a run. Errors: reap_hold, expected_plan_required, plan_changed, mass_orphans, cleanup_running.
  Result<CleanupRunView> start(const CleanupRequest& wanted, const Actor& actor,
                               const cloudflare::CallContext& context);
  Result<CleanupRunPage> list(const PageRequest& page) const;
  /// Errors: not_found.
  Result<CleanupRunView> get(const std::string& id) const;
  /// The run ends before its next item; of one that has ended, nothing happens. Errors: not_found.
  Result<CleanupRunView> cancel(const std::string& id, const Actor& actor);

  /// What deleting one agent would take with it, and with `dry_run` off the deletion. Errors: agent_not_found,
  /// agent_has_deployment without `force`.
  Result<AgentCleanupView> agent(const AgentId& id, const AgentCleanupRequest& wanted, const Actor& actor);

  /// Returns when no run of this process is under way.
  void settle();

 private:
  struct Item;
  struct Plan;
  struct Run;

  Plan gather(const CleanupRequest& wanted, const cloudflare::CallContext& context);
  void gather_agents(Plan& plan, const CleanupRequest& wanted);
  void gather_resources(Plan& plan, const CleanupRequest& wanted, const cloudflare::CallContext& context);
  /// The name of an agent that is silent for long; nothing for any other.
  std::optional<std::string> name_if_stale(const AgentId& id, const CleanupRequest& wanted);
  void work(Run& run, const std::stop_token& stop);
  void work_on(Run& run, const Item& item, const std::stop_token& stop);
  void save(Run& run, CleanupStatus status);
  Result<void> audit(db::Transaction& tx, std::string_view action, const std::string& object, const Actor& actor,
                     const std::string& detail) const;

  Parts parts_;
  const UtcTime started_at_;
  CleanupStore runs_;
  AgentStore agent_rows_;
  std::mutex mutex_;  ///< guards `thread_`
  std::jthread thread_;
};

}  // namespace ee::cp
