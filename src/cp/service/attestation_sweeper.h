#pragma once
#include <atomic>
#include <boost/describe.hpp>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "cp/service/agent_service.h"
#include "cp/service/agent_settings.h"
#include "cp/service/attestation_trail.h"
#include "cp/service/job_summary.h"
#include "cp/service/verification.h"
#include "cp/store/evidence_store.h"

namespace ee::cp {

/// A sweep that would take more than half of the fleet and waits for an administrator.
struct HeldSweep {
  std::int64_t policy_version = 0;
  std::int64_t agents = 0;
};
BOOST_DESCRIBE_STRUCT(HeldSweep, (), (policy_version, agents))
constexpr std::string_view json_name(json::For<HeldSweep> /*type*/) { return "HeldSweep"; }

/// Job `attestation_sweeper` (01 sections 16 and 21): after a change of trust or policy every agent's stored evidence
/// is judged again. What is refused is in quarantine at once, with its reason.
///
/// One pass plans first and acts then. Mass guard: when a pass would take more than half of a fleet of at least 10, it
/// takes only agents whose MRTD an administrator removed or disabled; the others become `stale` (routed, not placeable)
/// and wait for `confirm`, which counts for the policy in force then. Each row is settled by a conditional update on
/// the version it was judged under before, so that of two replicas one wins. A row that cannot be read makes its agent
/// refresh, which replaces it, and is tried again after 60 s, doubling to an hour. One pass at a time; the other calls
/// are thread-safe.
class AttestationSweeper {
 public:
  static constexpr std::int64_t kBatch = 200;
  static constexpr std::int64_t kGuardedFleet = 10;
  static constexpr Seconds kFirstUnreadableWait{60};
  static constexpr Seconds kMostUnreadableWait{3600};

  struct Parts {
    db::Database& database;
    const TrustService& trust;
    AgentService& agents;
    Directory& directory;
    Clock& clock;
    Random& random;
    PolicySource policy;
    AgentSettingsSource settings;
    std::function<void()> audit_failed = {};
  };
  explicit AttestationSweeper(Parts parts);

  /// Counts: `evaluated`, `quarantined`, `held`, `restored`, `errors`, `unreadable` (rows that wait); note
  /// `mass_refusal` while some are held. Errors: policy_invalid, those of the database.
  Result<JobSummary> run(const std::stop_token& stop);

  /// An administrator lets the held sweep go on. `agents` is 0 when nothing was held. Errors: those of the database.
  Result<HeldSweep> confirm(const Actor& actor);

  /// How many agents wait for a confirmation, as this process last saw. For metrics and `/ready`; never waits.
  std::int64_t held() const { return held_.load(); }
  /// Reads what another replica may have held.
  Result<void> look();

 private:
  struct Refused {
    AgentId agent;
    std::int64_t policy_version = 0;  ///< that the row had
    UtcTime attested_at;
    ErrorCode reason;
    std::string details;
    bool by_admin = false;  ///< its MRTD was removed or disabled
  };
  struct Plan {
    attestation::PolicySnapshot policy;
    attestation::TrustStore trust;
    std::int64_t version = 0;
    std::vector<Refused> refused;
    std::int64_t evaluated = 0;
    std::int64_t restored = 0;
    std::int64_t errors = 0;
  };
  Result<void> note_changes_by_themselves();
  Result<void> make_plan(Plan& plan, const std::stop_token& stop);
  Result<void> judge_page(Plan& plan, const std::vector<EvidenceRow>& rows);
  Result<bool> removed_by_admin(const Plan& plan, const EvidenceRow& row);
  bool is_waiting(const EvidenceRow& row);
  void note_unreadable(const EvidenceRow& row, const Error& why);
  Result<void> settle_good(Plan& plan, const std::vector<const EvidenceRow*>& rows);
  Result<bool> is_mass_refusal(const Plan& plan);
  Result<bool> quarantine(const Plan& plan, const Refused& refused);
  Result<std::int64_t> hold(const Plan& plan, const std::vector<AgentId>& agents, const std::stop_token& stop);

  Parts parts_;
  AttestationTrail trail_;
  AgentStore agents_;
  EvidenceStore evidence_;
  /// Rows that could not be read, while they are the agents' evidence.
  struct Unreadable {
    UtcTime attested_at = {};  ///< of the row
    Seconds wait{0};
    SteadyTime next_at{};
    std::int64_t pass = 0;  ///< that last found it
  };
  std::unordered_map<AgentKey, Unreadable, AgentKeyHash> unreadable_;
  std::int64_t pass_ = 0;
  std::atomic<std::int64_t> held_ = 0;
  bool environment_noted_ = false;
};

}  // namespace ee::cp
