#include "cp/service/attestation_sweeper.h"

#include <algorithm>

#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "cp/service/attestation_records.h"
#include "cp/service/stored_evidence.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr std::string_view kHeldKey = "attestation_sweep_held";
constexpr std::string_view kConfirmedKey = "attestation_sweep_confirmed";
constexpr std::string_view kExpiryKey = "attestation_trust_expiry_noted";
constexpr std::string_view kEnvironmentKey = "attestation_environment_hash";

const Actor kActor{.name = "system:attestation_sweeper"};

/// What the environment and the program say of policy and trust: it changes with a restart and has no version.
std::string environment_hash(att::PolicySnapshot policy, const att::TrustStore& environment) {
  policy.settings_version = policy.trusted_mrtd_version = 0;
  std::string text = att::to_json(policy, std::nullopt);
  for (const att::TrustedMrtd& entry : environment.mrtds)
    text += "\nm " + to_hex(entry.mrtd) + " " + std::string(att::to_string(entry.kind));
  for (const att::RtmrProfile& profile : environment.profiles) {
    text += "\np " + to_hex(profile.mrtd) + " " + json::quote(profile.name) + " " +
            json::quote(profile.node_size.value_or(""));
    for (const auto& rtmr : profile.rtmrs) text += " " + (rtmr ? to_hex(*rtmr) : "-");
  }
  return to_hex(sha256(bytes_of(text)));
}

/// Exactly an integer as MetaStore keeps it.
Result<std::optional<HeldSweep>> held_of(db::Transaction& tx) {
  const auto text = MetaStore().get(tx, kHeldKey);
  if (!text) return std::unexpected(text.error());
  if (!*text) return std::optional<HeldSweep>{};
  const auto held = json::read<HeldSweep>(**text);
  if (!held) return fail(ErrorCode::internal_error, "meta: a damaged held sweep");
  return std::optional(*held);
}

bool is_refusable(const AgentRow& agent) {
  return agent.attestation_state != AttestationState::failed && agent.status != AgentStatus::deleting &&
         agent.status != AgentStatus::deleted;
}

}  // namespace

AttestationSweeper::AttestationSweeper(Parts parts)
    : parts_(std::move(parts)),
      trail_({.database = parts_.database,
              .clock = parts_.clock,
              .random = parts_.random,
              .audit_failed = parts_.audit_failed}) {}

Result<JobSummary> AttestationSweeper::run(const std::stop_token& stop) {
  if (auto noted = note_changes_by_themselves(); !noted) return std::unexpected(noted.error());
  // The policy with its versions first: what changes in between is judged again by the next pass.
  auto policy = parts_.policy();
  if (!policy) return std::unexpected(policy.error());
  auto trust = parts_.trust.effective();
  if (!trust) return std::unexpected(trust.error());
  const std::int64_t version = policy_version_of(*policy);
  Plan plan{.policy = std::move(*policy), .trust = std::move(trust->trust), .version = version, .refused = {}};
  JobSummary summary;
  if (auto made = make_plan(plan, stop); !made) return std::unexpected(made.error());
  // The guard looks at the whole fleet: a pass that was stopped in its plan acts on nothing.
  summary.stopped = stop.stop_requested();
  std::int64_t quarantined = 0;
  std::int64_t held = 0;
  if (!summary.stopped) {
    const auto guarded = is_mass_refusal(plan);
    if (!guarded) return std::unexpected(guarded.error());
    std::vector<AgentId> waiting;
    for (const Refused& refused : plan.refused) {
      if (stop.stop_requested()) break;
      if (*guarded && !refused.by_admin) {
        waiting.push_back(refused.agent);
        continue;
      }
      const auto done = quarantine(plan, refused);
      if (!done) {
        log::error("attestation", "an agent could not be judged again",
                   {{"agent_id", refused.agent.str()}, {"error", done.error().code}});
        ++plan.errors;
      } else if (*done) {
        ++quarantined;
      }
    }
    const auto done = hold(plan, waiting, stop);
    if (!done) return std::unexpected(done.error());
    held = *done;
    summary.stopped = stop.stop_requested();
  }
  summary.count("evaluated", plan.evaluated);
  summary.count("quarantined", quarantined);
  summary.count("held", held);
  summary.count("restored", plan.restored);
  summary.count("errors", plan.errors);
  summary.count("unreadable", std::ssize(unreadable_));
  if (held > 0) summary.notes.emplace_back("mass_refusal");
  return summary;
}

/// An entry that expired and another environment are changes of trust, too, that nobody's call made.
Result<void> AttestationSweeper::note_changes_by_themselves() {
  std::optional<std::string> hash;
  if (!environment_noted_) {
    const auto policy = parts_.policy();
    if (!policy) return std::unexpected(policy.error());
    // Only what the environment alone says: settings in the database have their own version.
    hash = environment_hash(*policy, parts_.trust.environment());
  }
  const UtcTime now = parts_.clock.now();
  const auto changed = parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto expiry = TrustStore().latest_expiry(tx, now);
    if (!expiry) return std::unexpected(expiry.error());
    const auto noted = MetaStore().number(tx, kExpiryKey);
    if (!noted) return std::unexpected(noted.error());
    if (*expiry && unix_ms(**expiry) > *noted) return true;
    if (!hash) return false;
    const auto known = MetaStore().get(tx, kEnvironmentKey);
    if (!known) return std::unexpected(known.error());
    return *known != hash;
  });
  if (!changed) return std::unexpected(changed.error());
  if (*changed) {
    const auto written = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
      const auto expiry = TrustStore().latest_expiry(tx, now);
      if (!expiry) return std::unexpected(expiry.error());
      const std::string when = std::to_string(*expiry ? unix_ms(**expiry) : 0);
      if (auto done = MetaStore().set(tx, kExpiryKey, when); !done) return done;
      if (hash)
        if (auto done = MetaStore().set(tx, kEnvironmentKey, *hash); !done) return done;
      return TrustStore().raise_version(tx);
    });
    if (!written) return written;
  }
  environment_noted_ = true;
  return {};
}

Result<void> AttestationSweeper::make_plan(Plan& plan, const std::stop_token& stop) {
  ++pass_;
  std::optional<EvidencePlace> after;
  while (!stop.stop_requested()) {
    const auto rows = parts_.database.read<std::vector<EvidenceRow>>(
        [&](db::Transaction& tx) { return evidence_.outdated(tx, plan.version, kBatch, after); });
    if (!rows) return std::unexpected(rows.error());
    if (auto judged = judge_page(plan, *rows); !judged) return judged;
    if (static_cast<std::int64_t>(rows->size()) < kBatch) break;
    after = EvidencePlace{.policy_version = rows->back().policy_version, .agent_id = rows->back().agent_id};
  }
  if (!stop.stop_requested()) std::erase_if(unreadable_, [&](const auto& known) { return known.second.pass != pass_; });
  return {};
}

bool AttestationSweeper::is_waiting(const EvidenceRow& row) {
  const auto known = unreadable_.find(key_of(row.agent_id));
  if (known == unreadable_.end() || known->second.attested_at != row.attested_at) return false;
  known->second.pass = pass_;
  return parts_.clock.steady_now() < known->second.next_at;
}

/// What cannot be read now can seldom be read later: only other evidence helps, so the agent is asked for it.
void AttestationSweeper::note_unreadable(const EvidenceRow& row, const Error& why) {
  log::error("attestation", "stored evidence cannot be judged",
             {{"agent_id", row.agent_id.str()}, {"error", why.detail}});
  Unreadable& known = unreadable_[key_of(row.agent_id)];
  const bool again = known.wait.count() > 0 && known.attested_at == row.attested_at;
  known.wait = again ? std::min(2 * known.wait, kMostUnreadableWait) : kFirstUnreadableWait;
  known.attested_at = row.attested_at;
  known.next_at = parts_.clock.steady_now() + known.wait;
  known.pass = pass_;
  const auto asked = parts_.database.write<std::optional<DirectoryRow>>(
      [&](db::Transaction& tx) { return agents_.request_attestation(tx, row.agent_id, parts_.clock.now()); });
  if (asked && *asked) parts_.directory.put(**asked);  // else the next try asks
}

Result<void> AttestationSweeper::judge_page(Plan& plan, const std::vector<EvidenceRow>& rows) {
  std::vector<const EvidenceRow*> good;
  for (const EvidenceRow& row : rows) {
    if (is_waiting(row)) continue;
    ++plan.evaluated;
    const auto entry = parts_.directory.find(key_of(row.agent_id));
    if (entry != nullptr && (!entry->is_live() || entry->attestation_state == AttestationState::failed)) {
      good.push_back(&row);  // nothing is left to lose
      continue;
    }
    const auto decision = judge_stored(row, plan.policy, plan.trust, parts_.clock.now());
    if (!decision) {
      note_unreadable(row, decision.error());
      ++plan.errors;
      continue;
    }
    if (!decision->reason) {
      good.push_back(&row);
      continue;
    }
    const auto by_admin = removed_by_admin(plan, row);
    if (!by_admin) return std::unexpected(by_admin.error());
    std::string details = R"({"cause":"policy_change")";
    if (decision->rtmr_mismatch)
      details += "," + att::details_json(*decision->rtmr_mismatch).substr(1);
    else
      details += "}";
    plan.refused.push_back({.agent = row.agent_id,
                            .policy_version = row.policy_version,
                            .attested_at = row.attested_at,
                            .reason = *decision->reason,
                            .details = std::move(details),
                            .by_admin = *by_admin});
  }
  return settle_good(plan, good);
}

/// An MRTD that an administrator disabled, or removed since the evidence was accepted. One that expired, or that the
/// environment no longer names, is no such decision.
Result<bool> AttestationSweeper::removed_by_admin(const Plan& plan, const EvidenceRow& row) {
  const auto listed = std::ranges::find_if(plan.trust.mrtds, [&](const att::TrustedMrtd& entry) {
    return entry.kind == att::MrtdKind::agent && to_hex(entry.mrtd) == row.mrtd;
  });
  if (listed != plan.trust.mrtds.end()) return !listed->enabled;
  return parts_.database.read<bool>(
      [&](db::Transaction& tx) { return AttestationAuditStore().was_removed_since(tx, row.mrtd, row.attested_at); });
}

/// Rows that are good under the new policy, too. An agent that a held sweep had made stale is verified again.
Result<void> AttestationSweeper::settle_good(Plan& plan, const std::vector<const EvidenceRow*>& rows) {
  if (rows.empty()) return {};
  const UtcTime now = parts_.clock.now();
  const Seconds refresh = parts_.settings().attestation_refresh;
  const auto changed =
      parts_.database.write<std::vector<DirectoryRow>>([&](db::Transaction& tx) -> Result<std::vector<DirectoryRow>> {
        std::vector<DirectoryRow> verified;
        for (const EvidenceRow* row : rows) {
          const auto won = evidence_.mark_evaluated(tx, row->agent_id, row->policy_version, plan.version);
          if (!won) return std::unexpected(won.error());
          const auto entry = parts_.directory.find(key_of(row->agent_id));
          const bool young = refresh.count() == 0 || now - row->attested_at <= 2 * refresh;
          if (!*won || entry == nullptr || entry->attestation_state != AttestationState::stale || !young) continue;
          auto after = agents_.mark_attestation_verified(tx, row->agent_id, row->attested_at, now);
          if (!after) return std::unexpected(after.error());
          if (*after) verified.push_back(std::move(**after));
        }
        return verified;
      });
  if (!changed) return std::unexpected(changed.error());
  for (const DirectoryRow& row : *changed) parts_.directory.put(row);
  plan.restored += static_cast<std::int64_t>(changed->size());
  return {};
}

Result<bool> AttestationSweeper::is_mass_refusal(const Plan& plan) {
  return parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto fleet = evidence_.count_trusted(tx);
    if (!fleet) return std::unexpected(fleet.error());
    if (*fleet < kGuardedFleet || std::ssize(plan.refused) * 2 <= *fleet) return false;
    const auto confirmed = MetaStore().number(tx, kConfirmedKey);
    if (!confirmed) return std::unexpected(confirmed.error());
    return *confirmed != plan.version;
  });
}

/// One transaction each: a refusal takes the agent's deployment with it. False: somebody else decided meanwhile.
Result<bool> AttestationSweeper::quarantine(const Plan& plan, const Refused& refused) {
  const auto row =
      parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        const auto evidence = evidence_.get(tx, refused.agent);
        if (!evidence) return std::unexpected(evidence.error());
        if (!*evidence || (*evidence)->attested_at != refused.attested_at) return std::optional<AgentRow>{};
        const auto won = evidence_.mark_evaluated(tx, refused.agent, refused.policy_version, plan.version);
        if (!won) return std::unexpected(won.error());
        if (!*won) return std::optional<AgentRow>{};
        const auto agent = agents_.get(tx, refused.agent);
        if (!agent) return std::unexpected(agent.error());
        if (!*agent || !is_refusable(**agent)) return std::optional<AgentRow>{};
        AttestationAttempt attempt = attempt_of(**evidence, (*agent)->vm_name, plan.policy);
        attempt.details = refused.details;
        if (auto done = trail_.append(tx, {.attempt = attempt,
                                           .event = AttestationEvent::refresh_attestation_rejected,
                                           .reason = refused.reason,
                                           .took = {},
                                           .actor = kActor.name});
            !done)
          return std::unexpected(done.error());
        auto after = parts_.agents.fail_attestation(tx, **agent, std::string(slug(refused.reason)), kActor);
        if (!after) return std::unexpected(after.error());
        return std::optional(std::move(*after));
      });
  if (!row) return std::unexpected(row.error());
  if (!*row) return false;
  parts_.agents.published(**row);
  return true;
}

/// Marks who waits and remembers it, or forgets an earlier hold.
Result<std::int64_t> AttestationSweeper::hold(const Plan& plan, const std::vector<AgentId>& agents,
                                              const std::stop_token& stop) {
  const UtcTime now = parts_.clock.now();
  for (std::size_t from = 0; from < agents.size() && !stop.stop_requested(); from += kBatch) {
    const auto to = std::min(agents.size(), from + kBatch);
    const auto changed =
        parts_.database.write<std::vector<DirectoryRow>>([&](db::Transaction& tx) -> Result<std::vector<DirectoryRow>> {
          std::vector<DirectoryRow> stale;
          for (std::size_t i = from; i < to; ++i) {
            auto row = agents_.mark_attestation_stale(tx, agents[i], now);
            if (!row) return std::unexpected(row.error());
            if (*row) stale.push_back(std::move(**row));
          }
          return stale;
        });
    if (!changed) return std::unexpected(changed.error());
    for (const DirectoryRow& row : *changed) parts_.directory.put(row);
  }
  const HeldSweep held{.policy_version = plan.version, .agents = std::ssize(agents)};
  const auto known = parts_.database.read<std::optional<HeldSweep>>([](db::Transaction& tx) { return held_of(tx); });
  if (!known) return std::unexpected(known.error());
  const bool same =
      *known ? (*known)->policy_version == held.policy_version && (*known)->agents == held.agents : held.agents == 0;
  if (!same) {
    const auto written = parts_.database.run_write([&](db::Transaction& tx) {
      return held.agents == 0 ? MetaStore().remove(tx, kHeldKey) : MetaStore().set(tx, kHeldKey, json::write(held));
    });
    if (!written) return std::unexpected(written.error());
  }
  if (held.agents > 0 && !same)
    log::error("attestation", "a change of policy or trust would put most agents in quarantine: confirm it or undo it",
               {{"agents", held.agents}, {"policy_version", held.policy_version}});
  held_ = held.agents;
  return held.agents;
}

Result<HeldSweep> AttestationSweeper::confirm(const Actor& actor) {
  return parts_.database.write<HeldSweep>([&](db::Transaction& tx) -> Result<HeldSweep> {
    const auto held = held_of(tx);
    if (!held) return std::unexpected(held.error());
    if (!*held) return HeldSweep{};
    if (auto done = MetaStore().set(tx, kConfirmedKey, std::to_string((*held)->policy_version)); !done)
      return std::unexpected(done.error());
    const AuditEntry entry{.actor = actor.name,
                           .action = "attestation_sweep_confirmed",
                           .object_type = "attestation_policy",
                           .object_id = std::to_string((*held)->policy_version),
                           .request_id = actor.request_id,
                           .client_address = actor.client_address,
                           .detail = R"({"agents":)" + std::to_string((*held)->agents) + "}"};
    if (auto done = AuditLogStore().append(tx, entry, parts_.clock.now(), parts_.random); !done)
      return std::unexpected(done.error());
    return **held;
  });
}

Result<void> AttestationSweeper::look() {
  const auto held = parts_.database.read<std::optional<HeldSweep>>([](db::Transaction& tx) { return held_of(tx); });
  if (!held) return std::unexpected(held.error());
  held_ = *held ? (*held)->agents : 0;
  return {};
}

}  // namespace ee::cp
