#include "cp/service/attestation_ages.h"

#include <algorithm>

namespace ee::cp {
namespace {
constexpr std::size_t kWriteChunk = 500;

bool is_too_old(const DirectoryRow& row, UtcTime now, const AgentSettings& settings) {
  return row.attestation_state != AttestationState::failed && now - row.attested_at > settings.attestation_max_age;
}
}  // namespace

Result<JobSummary> AttestationAges::run(const std::stop_token& stop) {
  JobSummary summary;
  const UtcTime now = clock_.now();
  // Evidence does not age at all (dev).
  if (settings_().attestation_refresh <= Seconds(0)) return summary;
  forget_if_away(now);
  if (auto right = bring_back(now, stop); !right) return std::unexpected(right.error());
  auto planned = plan(now, stop);
  if (!planned) return std::unexpected(planned.error());

  const auto fleet = static_cast<std::int64_t>(directory_.live_count());
  if (!guard_.allows(static_cast<std::int64_t>(planned->fail.size()), fleet, now)) {
    summary.notes.emplace_back("mass_expiry");
    planned->fail.clear();
  }
  const auto share = static_cast<std::size_t>(std::max<std::int64_t>(1, (fleet + kFleetShare - 1) / kFleetShare));
  if (planned->ask.size() > share) planned->ask.resize(share);

  const auto asked = mark(planned->ask, stop, [&](db::Transaction& tx, const AgentId& id) {
    return agents_.request_attestation(tx, id, now);
  });
  if (!asked) return std::unexpected(asked.error());
  const auto stale = mark(planned->stale, stop, [&](db::Transaction& tx, const AgentId& id) {
    return agents_.mark_attestation_stale(tx, id, now);
  });
  if (!stale) return std::unexpected(stale.error());
  const auto failed = fail_all(planned->fail, now, stop);
  if (!failed) return std::unexpected(failed.error());
  summary.count("asked", *asked);
  summary.count("stale", *stale);
  summary.count("failed", *failed);
  summary.stopped = stop.stop_requested();
  last_pass_at_ = clock_.now();
  last_pass_steady_ = clock_.steady_now();
  return summary;
}

void AttestationAges::forget_if_away(UtcTime now) {
  if (last_pass_at_ && now - *last_pass_at_ <= kAway) return;
  live_.forget_reattest_told();
  told_elsewhere_.clear();
  guard_ = MassGuard();
}

/// Looks in the first pass and after the clock went back: nothing else makes such rows.
Result<void> AttestationAges::bring_back(UtcTime now, const std::stop_token& stop) {
  const auto passed = std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - last_pass_steady_);
  if (last_pass_at_ && *last_pass_at_ + passed - now <= LiveMap::kClockTolerance) return {};
  const UtcTime limit = now + LiveMap::kClockTolerance;
  AgentId after;
  while (!stop.stop_requested()) {
    const auto ids = database_.read<std::vector<AgentId>>(
        [&](db::Transaction& tx) { return agents_.attested_after(tx, limit, after, kChunk); });
    if (!ids) return std::unexpected(ids.error());
    const auto marked = mark(*ids, stop, [&](db::Transaction& tx, const AgentId& id) {
      return agents_.bring_attestation_back(tx, id, limit, now);
    });
    if (!marked) return std::unexpected(marked.error());
    if (static_cast<std::int64_t>(ids->size()) < kChunk) break;
    after = ids->back();
  }
  return {};
}

Result<AttestationAges::Plan> AttestationAges::plan(UtcTime now, const std::stop_token& stop) {
  Plan plan;
  ToldElsewhere told;
  UtcTime after_due = UtcTime::min();
  AgentId after_id;
  while (!stop.stop_requested()) {
    const auto rows = database_.read<std::vector<DirectoryRow>>(
        [&](db::Transaction& tx) { return agents_.attestation_due(tx, now, after_due, after_id, kChunk); });
    if (!rows) return std::unexpected(rows.error());
    if (auto judged = judge_page(*rows, now, told, plan); !judged) return std::unexpected(judged.error());
    if (static_cast<std::int64_t>(rows->size()) < kChunk) break;
    after_due = rows->back().attestation_due_at;
    after_id = rows->back().id;
  }
  told_elsewhere_ = std::move(told);
  return plan;
}

Result<void> AttestationAges::judge_page(const std::vector<DirectoryRow>& rows, UtcTime now, ToldElsewhere& told,
                                         Plan& plan) {
  const AgentSettings settings = settings_();
  for (const DirectoryRow& row : rows) judge(row, now, settings, plan);
  return database_.run_read([&](db::Transaction& tx) -> Result<void> {
    for (const DirectoryRow& row : rows) {
      if (!is_too_old(row, now, settings)) continue;
      const auto at = told_at(tx, row, now, told);
      if (!at) return std::unexpected(at.error());
      if (*at && now - **at >= kTimeToRefresh) plan.fail.push_back(row.id);
    }
    return {};
  });
}

/// When the agent was first told to refresh since it last did. `told` gets those that this process did not tell.
Result<std::optional<UtcTime>> AttestationAges::told_at(db::Transaction& tx, const DirectoryRow& row, UtcTime now,
                                                        ToldElsewhere& told) const {
  const AgentKey key = key_of(row.id);
  // A mark of an earlier time stays here when the agent went on to another replica.
  if (const auto here = live_.reattest_told_at(key); here && *here > row.attested_at) return here;
  const auto known = told_elsewhere_.find(key);
  if (known != told_elsewhere_.end() && known->second > row.attested_at) return told[key] = known->second;
  if (!row.attest_requested_at) return std::optional<UtcTime>{};
  const auto heard = live_.last_heartbeat_at(tx, row.id);
  if (!heard) return std::unexpected(heard.error());
  const bool calls_in =
      *heard && now - **heard <= kAway && **heard >= *row.attest_requested_at + Milliseconds(kAskedEverywhere);
  if (!calls_in) return std::optional<UtcTime>{};
  return told[key] = now;
}

void AttestationAges::judge(const DirectoryRow& row, UtcTime now, const AgentSettings& settings, Plan& plan) const {
  if (row.attestation_state == AttestationState::failed) return;
  const auto age = now - row.attested_at;
  if (!row.attest_requested_at) plan.ask.push_back(row.id);
  if (row.attestation_state == AttestationState::verified && age > 2 * settings.attestation_refresh)
    plan.stale.push_back(row.id);
}

Result<std::int64_t> AttestationAges::mark(const std::vector<AgentId>& ids, const std::stop_token& stop,
                                           const std::function<Result<Mark>(db::Transaction&, const AgentId&)>& one) {
  std::int64_t marked = 0;
  for (std::size_t from = 0; from < ids.size() && !stop.stop_requested(); from += kWriteChunk) {
    const auto to = std::min(ids.size(), from + kWriteChunk);
    const auto rows =
        database_.write<std::vector<DirectoryRow>>([&](db::Transaction& tx) -> Result<std::vector<DirectoryRow>> {
          std::vector<DirectoryRow> changed;
          for (std::size_t i = from; i < to; ++i) {
            auto row = one(tx, ids[i]);
            if (!row) return std::unexpected(row.error());
            if (*row) changed.push_back(std::move(**row));
          }
          return changed;
        });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows) directory_.put(row);
    marked += static_cast<std::int64_t>(rows->size());
  }
  return marked;
}

/// One transaction each: a failure takes the agent's deployment with it.
Result<std::int64_t> AttestationAges::fail_all(const std::vector<AgentId>& ids, UtcTime now,
                                               const std::stop_token& stop) {
  const AgentSettings settings = settings_();
  const Actor actor{.name = "system:agent_attestation_ages"};
  std::int64_t failed = 0;
  for (const AgentId& id : ids) {
    if (stop.stop_requested()) break;
    const auto row =
        database_.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
          const auto agent = agents_.get(tx, id);
          if (!agent) return std::unexpected(agent.error());
          // It may have refreshed since the plan was made.
          const bool still = *agent && (*agent)->attestation_state != AttestationState::failed &&
                             (*agent)->status != AgentStatus::deleting && (*agent)->status != AgentStatus::deleted &&
                             now - (*agent)->attested_at > settings.attestation_max_age;
          if (!still) return std::optional<AgentRow>{};
          auto after = service_.fail_attestation(tx, **agent, "attestation_expired", actor);
          if (!after) return std::unexpected(after.error());
          return std::optional(std::move(*after));
        });
    if (!row) return std::unexpected(row.error());
    if (!*row) continue;
    service_.published(**row);
    ++failed;
  }
  return failed;
}

}  // namespace ee::cp
