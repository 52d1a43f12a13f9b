#include "cp/service/deployment_reconciler.h"

#include <algorithm>
#include <atomic>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "cp/service/work_crew.h"

namespace ee::cp {

namespace {

using E = DeploymentEvent;
using S = DeploymentState;

struct AgentRefusal {
  std::string code;
  std::string detail;
};

/// `{code, detail}` of a refusal; what does not read so is taken as no more than that.
AgentRefusal refusal_of(const AgentAnswer& answer) {
  AgentRefusal out{.code = {}, .detail = "status " + std::to_string(answer.status)};
  const auto parsed = json::parse(answer.body, {.max_bytes = AgentClient::kMaxAnswer});
  if (!parsed || !parsed->is_object()) return out;
  const auto text = [&](std::string_view name) {
    const auto* value = parsed->as_object().if_contains(name);
    return value != nullptr && value->is_string() ? std::string(utf8_prefix(value->as_string(), 1024)) : std::string();
  };
  out.code = text("code");
  out.detail += " " + out.code + " " + text("detail");
  return out;
}

}  // namespace

/// What an action led to: an event of the state table, or a later look.
struct DeploymentReconciler::Outcome {
  std::optional<DeploymentEvent> event = {};
  EventInputs inputs = {};
  std::optional<UtcTime> again_at = {};  ///< without an event
  bool pushed = false;
  bool delivered = false;  ///< the agent has the document as it is now
};

UtcTime DeploymentReconciler::push_again(const DeploymentRow& row) const {
  const UtcTime now = parts_.clock.now();
  const std::int64_t tries = std::min<std::int64_t>(row.action_attempts, 5);
  const std::int64_t wait_ms = std::min<std::int64_t>(1000LL << tries, 30'000);
  const UtcTime at = now + Milliseconds(parts_.random.between(wait_ms * 8 / 10, wait_ms * 12 / 10));
  return row.state_deadline_at ? std::min(at, *row.state_deadline_at) : at;
}

struct DeploymentReconciler::Tally {
  std::int64_t due = 0;
  std::atomic<std::int64_t> pushed = 0;
  std::atomic<std::int64_t> failed = 0;
};

Result<std::vector<DeploymentRow>> DeploymentReconciler::lease_due(std::size_t most) {
  const auto limit = static_cast<std::int64_t>(most);
  // Mostly nothing is due, which takes no write.
  const auto first = parts_.database.read<std::vector<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.due(tx, parts_.clock.now(), 1); });
  if (!first) return first;
  const auto lag = first->empty() ? Milliseconds(0) : parts_.clock.now() - *first->front().next_action_at;
  parts_.counters.reconciler_lag_seconds.set(static_cast<double>(lag.count()) / 1e3);
  if (first->empty()) return first;
  return parts_.database.write<std::vector<DeploymentRow>>([&](db::Transaction& tx) {
    const UtcTime now = parts_.clock.now();
    return rows_.lease_due(tx, parts_.owner, now + kLease, now, limit);
  });
}

void DeploymentReconciler::work_on(const DeploymentRow& row, const std::stop_token& stop, Tally& tally) {
  const Outcome outcome = act(row, stop);
  if (outcome.pushed) tally.pushed.fetch_add(1);
  if (const auto done = settle(row, outcome); !done) {
    tally.failed.fetch_add(1);
    log::warn("deployments", "an action was not stored",
              {{"deployment_id", row.id.str()}, {"code", slug(done.error().code)}});
  }
}

Result<JobSummary> DeploymentReconciler::run(const std::stop_token& stop) {
  count_states();
  Tally tally;
  std::optional<Error> broken;
  {
    WorkCrew crew(kParallel);
    const SteadyTime end = parts_.clock.steady_now() + kPass;
    while (!stop.stop_requested() && parts_.clock.steady_now() < end) {
      const std::size_t free = crew.free();
      auto rows = free > 0 ? lease_due(free) : Result<std::vector<DeploymentRow>>();
      if (!rows) {
        broken = std::move(rows.error());
        break;
      }
      if (rows->empty()) {
        if (free > 0 && crew.idle()) break;
        crew.wait_for_one(kLookAgain);
        continue;
      }
      tally.due += static_cast<std::int64_t>(rows->size());
      for (DeploymentRow& row : *rows)
        crew.start([this, &stop, &tally, row = std::move(row)] { work_on(row, stop, tally); });
    }
  }
  if (broken) return fail(std::move(*broken));
  JobSummary summary;
  summary.count("due", tally.due);
  summary.count("pushed", tally.pushed.load());
  summary.count("failed", tally.failed.load());
  summary.stopped = stop.stop_requested();
  return summary;
}

/// Every replica shows the same numbers, those of the database.
void DeploymentReconciler::count_states() {
  const UtcTime now = parts_.clock.now();
  if (counted_at_ && now - *counted_at_ < Seconds(15)) return;
  counted_at_ = now;
  const auto counts =
      parts_.database.read<std::vector<DeploymentCount>>([&](db::Transaction& tx) { return rows_.counts(tx); });
  if (!counts) return;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<DeploymentState>>([&](auto state) {
    const auto found = std::ranges::find(*counts, state.value, &DeploymentCount::state);
    const std::int64_t count = found == counts->end() ? 0 : found->count;
    parts_.counters.by_state.with({state.name}).set(static_cast<double>(count));
  });
}

DeploymentReconciler::Outcome DeploymentReconciler::act(const DeploymentRow& row, const std::stop_token& stop) {
  const UtcTime now = parts_.clock.now();
  const bool late = row.state_deadline_at && *row.state_deadline_at <= now;
  const bool gone = row.workload_gone_at && *row.workload_gone_at + DeploymentMachine::kGone <= now;
  Outcome out;
  switch (row.state) {
    case S::pending:
      if (row.wait_ends_at && *row.wait_ends_at <= now) out.event = E::wait_over;
      out.again_at = row.wait_ends_at.value_or(now + Seconds(60));
      return out;
    case S::assigned:
      if (!late) return dispatch(row, stop);
      out.event = E::dispatch_deadline;
      return out;
    case S::deploying:
    case S::updating:
      if (late) {
        out.event = E::deploy_deadline;
        return out;
      }
      if (gone) {
        out.event = E::workload_gone;
        return out;
      }
      return dispatch(row, stop);
    case S::running:
      if (gone) out.event = E::workload_gone;
      if (!row.workload_gone_at) return look_at_running(row, stop);
      out.again_at = *row.workload_gone_at + DeploymentMachine::kGone;
      return out;
    case S::stopping:
      if (!late) return stop_agent(row, stop);
      out.event = E::stop_timeout;
      return out;
    default: return out;
  }
}

DeploymentReconciler::Outcome DeploymentReconciler::dispatch(const DeploymentRow& row, const std::stop_token& stop) {
  Outcome out;
  out.again_at = push_again(row);
  struct Ready {
    AgentRow agent;
    SignedBody document;
  };
  const auto ready =
      parts_.database.read<std::optional<Ready>>([&](db::Transaction& tx) -> Result<std::optional<Ready>> {
        const auto agent = agent_rows_.get(tx, *row.agent_id);
        if (!agent) return std::unexpected(agent.error());
        // No address: it pulls after its next heartbeat.
        if (!*agent || !parts_.endpoint.resolve(**agent)) return std::optional<Ready>{};
        auto document = parts_.documents.build(tx, row, **agent);
        if (!document) return std::unexpected(document.error());
        return std::optional(Ready{.agent = **agent, .document = std::move(*document)});
      });
  if (!ready) {
    log::warn("deployments", "a document cannot be built",
              {{"deployment_id", row.id.str()}, {"code", slug(ready.error().code)}});
    return out;
  }
  if (!*ready) {
    const UtcTime soon = parts_.clock.now() + Seconds(30);
    out.again_at = row.state_deadline_at ? std::min(*row.state_deadline_at, soon) : soon;
    return out;
  }
  const auto answer =
      parts_.agents.put_deployment((*ready)->agent, (*ready)->document.body, (*ready)->document.signature, stop);
  out.pushed = true;
  if (!answer) return out;  // unreachable, or not the agent: again
  const AgentRefusal refusal = refusal_of(*answer);
  const bool assigned = row.state == S::assigned;
  switch (answer->status) {
    case 200:
    case 202:
      out.delivered = true;
      if (assigned) {
        out.event = E::push_accepted;
      } else {
        out.again_at = row.state_deadline_at.value_or(parts_.clock.now() + Seconds(60));
      }
      return out;
    case 400:
    case 413:
    case 422:
      out.event = assigned ? E::push_invalid : E::report_failed;
      out.inputs.failure_code = refusal.code;
      out.inputs.failure_detail = refusal.detail;
      return out;
    case 401:
    case 403:
    case 409:
      if (assigned) out.event = E::push_refused;
      out.inputs.failure_detail = refusal.detail;
      return out;
    case 412:  // what is newer is in the row that is read next
      parts_.counters.stale_reports.increment();
      return out;
    default: return out;  // 5xx: again
  }
}

/// A document that has changed is sent until it has arrived. What runs goes on, whatever its agent says to it.
DeploymentReconciler::Outcome DeploymentReconciler::look_at_running(const DeploymentRow& row,
                                                                    const std::stop_token& stop) {
  constexpr std::int64_t kSoon = 10;
  const auto changed =
      parts_.database.read<bool>([&](db::Transaction& tx) { return rows_.has_changed_document(tx, row.id); });
  Outcome out;
  if (!changed) return out;
  if (*changed) {
    out = dispatch(row, stop);
    out.event.reset();
  }
  if (!*changed || out.delivered) {
    out.again_at = parts_.clock.now() + Seconds(24 * 3600);
  } else if (row.action_attempts >= kSoon) {
    out.again_at = parts_.clock.now() + Seconds(3600);
  }
  return out;
}

DeploymentReconciler::Outcome DeploymentReconciler::stop_agent(const DeploymentRow& row, const std::stop_token& stop) {
  Outcome out;
  out.again_at =
      std::min(parts_.clock.now() + kStopAgain, row.state_deadline_at.value_or(parts_.clock.now() + kStopAgain));
  if (!row.agent_id) return out;
  const auto agent = parts_.database.read<std::optional<AgentRow>>(
      [&](db::Transaction& tx) { return agent_rows_.get(tx, *row.agent_id); });
  if (!agent || !*agent || !parts_.endpoint.resolve(**agent)) return out;
  const auto answer = parts_.agents.delete_deployment(**agent, row.id, row.assignment_epoch, stop);
  out.pushed = true;
  // 409: it holds another one, so nothing of this.
  if (answer && (answer->status == 204 || answer->status == 409)) out.event = E::stop_confirmed;
  return out;
}

/// Writes what came out, if the row is still as it was leased: then `row` is what the table has.
Result<void> DeploymentReconciler::settle(const DeploymentRow& row, const Outcome& outcome) {
  std::optional<AgentRow> agent;
  const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    agent.reset();  // it may be run again
    if (!outcome.event) return postpone(tx, row, outcome);
    const auto version = rows_.version_of(tx, row.id);
    if (!version) return std::unexpected(version.error());
    if (*version != row.row_version) return give_back(tx, row.id);
    EventInputs inputs = outcome.inputs;
    inputs.actor = "system:reconciler";
    const auto applied = parts_.machine.apply(tx, row, *outcome.event, inputs);
    if (!applied) return std::unexpected(applied.error());
    if (!applied->changed) return postpone(tx, row, outcome);
    if (*outcome.event == E::push_accepted) return true;  // the agent's row says so already
    if (const auto& id = row.agent_id ? row.agent_id : applied->row.agent_id) {
      auto fresh = agent_rows_.get(tx, *id);
      if (!fresh) return std::unexpected(fresh.error());
      agent = std::move(*fresh);
    }
    return true;
  });
  if (!done) return std::unexpected(done.error());
  if (agent) parts_.directory.put(*agent);
  return {};
}

/// A later look. False: the row is not as it was leased.
Result<bool> DeploymentReconciler::postpone(db::Transaction& tx, const DeploymentRow& row, const Outcome& outcome) {
  const UtcTime now = parts_.clock.now();
  DeploymentRow after = row;
  after.next_action_at = outcome.again_at.value_or(now + Seconds(60));
  ++after.action_attempts;
  after.lease_owner.reset();
  after.lease_expires_at.reset();
  const auto written = rows_.update(tx, row, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return give_back(tx, row.id);
  if (outcome.delivered)
    if (auto noted = rows_.document_arrived(tx, row.id); !noted) return std::unexpected(noted.error());
  return true;
}

/// The row changed meanwhile, so what came out counts no more; nobody need wait for the rest of its lease.
Result<bool> DeploymentReconciler::give_back(db::Transaction& tx, const DeploymentId& id) {
  const auto row = rows_.get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!*row || (*row)->lease_owner != parts_.owner) return false;
  DeploymentRow after = **row;
  after.lease_owner.reset();
  after.lease_expires_at.reset();
  const auto written = rows_.update(tx, **row, after, parts_.clock.now());
  if (!written) return std::unexpected(written.error());
  return false;
}

Result<void> DeploymentReconciler::release() {
  const auto released =
      parts_.database.write<std::int64_t>([&](db::Transaction& tx) { return rows_.release_leases(tx, parts_.owner); });
  if (!released) return std::unexpected(released.error());
  return {};
}

}  // namespace ee::cp
