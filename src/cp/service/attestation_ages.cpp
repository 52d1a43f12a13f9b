#include "cp/service/attestation_ages.h"

#include <algorithm>

namespace ee::cp {
namespace {
constexpr std::size_t kWriteChunk = 500;
}

Result<JobSummary> AttestationAges::run(const std::stop_token& stop) {
  JobSummary summary;
  const UtcTime now = clock_.now();
  // Evidence does not age at all (dev).
  if (settings_().attestation_refresh <= Seconds(0)) return summary;
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
  return summary;
}

Result<AttestationAges::Plan> AttestationAges::plan(UtcTime now, const std::stop_token& stop) {
  const AgentSettings settings = settings_();
  Plan plan;
  UtcTime after_due = UtcTime::min();
  AgentId after_id;
  while (!stop.stop_requested()) {
    const auto rows = database_.read<std::vector<DirectoryRow>>(
        [&](db::Transaction& tx) { return agents_.attestation_due(tx, now, after_due, after_id, kChunk); });
    if (!rows) return std::unexpected(rows.error());
    for (const DirectoryRow& row : *rows) judge(row, now, settings, plan);
    if (static_cast<std::int64_t>(rows->size()) < kChunk) break;
    after_due = rows->back().attestation_due_at;
    after_id = rows->back().id;
  }
  return plan;
}

void AttestationAges::judge(const DirectoryRow& row, UtcTime now, const AgentSettings& settings, Plan& plan) const {
  if (row.attestation_state == AttestationState::failed) return;
  const auto age = now - row.attested_at;
  if (!row.attest_requested_at) plan.ask.push_back(row.id);
  if (row.attestation_state == AttestationState::verified && age > 2 * settings.attestation_refresh)
    plan.stale.push_back(row.id);
  const auto told = live_.reattest_told_at(key_of(row.id));
  if (age > settings.attestation_max_age && told && now - *told >= kTimeToRefresh) plan.fail.push_back(row.id);
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
