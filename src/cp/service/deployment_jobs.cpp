#include "cp/service/deployment_jobs.h"

#include <algorithm>
#include <charconv>

#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {

using E = DeploymentEvent;

constexpr std::int64_t kPage = 500;
constexpr std::int64_t kMassLoss = 10;
constexpr std::int64_t kWaitingPage = 50;
constexpr std::int64_t kMostWaiting = 500;
constexpr Seconds kConfirmationLasts{600};
constexpr Seconds kHealthyBefore{10};
constexpr std::string_view kConfirmedKey = "agent_loss_confirmed_at";

struct HolderRow {
  DeploymentId id = {};
  AgentId agent_id = {};
  UtcTime created_at = {};
};
BOOST_DESCRIBE_STRUCT(HolderRow, (), (id, agent_id, created_at))

}  // namespace

struct DeploymentJobs::Holder {
  DeploymentId id;
  AgentId agent;
  UtcTime last_heard_at;
};

DeploymentJobs::DeploymentJobs(Parts parts)
    : parts_(std::move(parts)),
      migration_({.database = parts_.database,
                  .machine = parts_.machine,
                  .placer = parts_.placer,
                  .billing = parts_.billing,
                  .revisions = parts_.revisions,
                  .directory = parts_.directory,
                  .clock = parts_.clock,
                  .random = parts_.random}),
      started_at_(parts_.clock.now()) {}

void DeploymentJobs::published(const std::optional<AgentId>& agent) {
  if (!agent) return;
  const auto row =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, *agent); });
  if (row && *row) parts_.directory.put(**row);
}

// ---- loss -----------------------------------------------------------------------------------------------------------

Result<std::vector<DeploymentJobs::Holder>> DeploymentJobs::silent_holders(std::int64_t& holders, UtcTime now,
                                                                           const std::stop_token& stop) {
  std::vector<Holder> silent;
  const Seconds patience = parts_.settings().agent_lost_after;
  AgentId after;
  for (bool more = true; more && !stop.stop_requested();) {
    const auto read = parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto rows = tx.query<HolderRow>(
          "SELECT id, agent_id, created_at FROM deployments WHERE slot_held=1 AND agent_id>:after"
          " ORDER BY agent_id LIMIT :limit",
          {{"after", after}, {"limit", kPage}});
      if (!rows) return std::unexpected(rows.error());
      for (const HolderRow& row : *rows) {
        after = row.agent_id;
        ++holders;
        const auto last = parts_.live.last_heartbeat_at(tx, row.agent_id);
        if (!last) return std::unexpected(last.error());
        const UtcTime heard = last->value_or(row.created_at);
        if (now - heard > patience) silent.push_back({.id = row.id, .agent = row.agent_id, .last_heard_at = heard});
      }
      return static_cast<std::int64_t>(rows->size()) == kPage;
    });
    if (!read) return std::unexpected(read.error());
    more = *read;
  }
  return silent;
}

Result<bool> DeploymentJobs::loss_confirmed(UtcTime now) {
  const auto text = parts_.database.read<std::optional<std::string>>(
      [&](db::Transaction& tx) { return MetaStore().get(tx, kConfirmedKey); });
  if (!text) return std::unexpected(text.error());
  if (!*text) return false;
  std::int64_t at = 0;
  std::from_chars((*text)->data(), (*text)->data() + (*text)->size(), at);
  return now - from_unix_ms(at) <= kConfirmationLasts;
}

Result<void> DeploymentJobs::confirm_loss(const Actor& actor) {
  const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const UtcTime now = parts_.clock.now();
    if (auto set = MetaStore().set(tx, kConfirmedKey, std::to_string(unix_ms(now))); !set)
      return std::unexpected(set.error());
    const auto audited = AuditLogStore().append(
        tx,
        {.actor = actor.name,
         .action = "agent_loss_confirmed",
         .request_id = actor.request_id.empty() ? std::nullopt : std::optional(actor.request_id),
         .client_address = actor.client_address.empty() ? std::nullopt : std::optional(actor.client_address)},
        now, parts_.random);
    if (!audited) return std::unexpected(audited.error());
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<JobSummary> DeploymentJobs::agent_loss(const std::stop_token& stop) {
  JobSummary summary;
  const UtcTime now = parts_.clock.now();
  const Seconds patience = parts_.settings().agent_lost_after;
  // Silence that this process could not have heard is nobody's.
  const bool was_away = !last_loss_pass_at_ || now - *last_loss_pass_at_ > Seconds(60);
  if (was_away) started_at_ = now;
  last_loss_pass_at_ = now;
  if (now - started_at_ < patience) return summary;
  std::int64_t holders = 0;
  const auto silent = silent_holders(holders, now, stop);
  if (!silent) return std::unexpected(silent.error());
  const auto lost = static_cast<std::int64_t>(silent->size());
  if (lost > kMassLoss && lost * 2 > holders) {
    const auto confirmed = loss_confirmed(now);
    if (!confirmed) return std::unexpected(confirmed.error());
    if (!*confirmed) {
      summary.notes.emplace_back("mass_agent_loss");
      summary.count("lost", 0);
      return summary;
    }
  }
  std::int64_t marked = 0;
  for (const Holder& holder : *silent) {
    if (stop.stop_requested()) break;
    const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto row = rows_.get(tx, holder.id);
      if (!row) return std::unexpected(row.error());
      if (!*row || (*row)->agent_id != holder.agent || !(*row)->slot_held) return false;
      const auto last = parts_.live.last_heartbeat_at(tx, holder.agent);
      if (!last) return std::unexpected(last.error());
      if (*last && now - **last <= patience) return false;  // it has come back
      const auto applied = parts_.machine.apply(tx, **row, E::agent_lost,
                                                {.actor = "system:agent_loss", .charged_to = holder.last_heard_at});
      if (!applied) return std::unexpected(applied.error());
      return applied->changed;
    });
    if (!done) continue;  // the next pass tries again
    published(holder.agent);
    if (*done) ++marked;
  }
  if (marked > 0 && parts_.wake) parts_.wake();
  summary.count("lost", marked);
  return summary;
}

// ---- time and capacity ----------------------------------------------------------------------------------------------

Result<JobSummary> DeploymentJobs::ttl_expiry(const std::stop_token& stop) {
  JobSummary summary;
  const auto rows = parts_.database.read<std::vector<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.expired(tx, parts_.clock.now(), 200); });
  if (!rows) return std::unexpected(rows.error());
  std::int64_t stopped = 0;
  for (const DeploymentRow& row : *rows) {
    if (stop.stop_requested()) break;
    if (auto done = parts_.deployments.request_stop(row.id, "expired", "system:ttl_expiry"); !done)
      return std::unexpected(done.error());
    ++stopped;
  }
  summary.count("stopped", stopped);
  return summary;
}

/// Whether it got an agent.
Result<bool> DeploymentJobs::place_waiting(const DeploymentRow& waiting) {
  std::optional<AgentId> agent;
  const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const UtcTime now = parts_.clock.now();
    const auto row = rows_.get(tx, waiting.id);
    if (!row) return std::unexpected(row.error());
    if (!*row || (*row)->state != DeploymentState::pending) return false;
    if ((*row)->wait_ends_at && *(*row)->wait_ends_at <= now) {
      const auto over = parts_.machine.apply(tx, **row, E::wait_over, {.actor = "system:capacity_waiter"});
      if (!over) return std::unexpected(over.error());
      return false;
    }
    const auto caller = parts_.machine.caller_of(tx, **row);
    if (!caller) return std::unexpected(caller.error());
    auto claimed = parts_.placer.claim(tx, parts_.machine.question_of(**row), *caller, {(*row)->node_size}, (*row)->id,
                                       DatacenterUse(), now);
    if (!claimed) return std::unexpected(claimed.error());
    if (!*claimed) return false;
    agent = (*claimed)->id;
    EventInputs inputs{.actor = "system:capacity_waiter"};
    inputs.claimed = std::move(**claimed);
    const auto applied = parts_.machine.apply(tx, **row, E::capacity_found, inputs);
    if (!applied) return std::unexpected(applied.error());
    return true;
  });
  if (done && *done) published(agent);
  return done;
}

Result<JobSummary> DeploymentJobs::capacity_waiter(const std::stop_token& stop) {
  JobSummary summary;
  std::int64_t placed = 0;
  std::optional<PagePosition> after;
  // Those that do not fit must not hold up younger ones that would.
  for (std::int64_t looked_at = 0; looked_at < kMostWaiting && !stop.stop_requested();) {
    const auto rows = parts_.database.read<std::vector<DeploymentRow>>(
        [&](db::Transaction& tx) { return rows_.waiting(tx, after, kWaitingPage); });
    if (!rows) return std::unexpected(rows.error());
    for (const DeploymentRow& waiting : *rows) {
      if (stop.stop_requested()) break;
      after = PagePosition{.at = waiting.created_at, .id = waiting.id.str()};
      const auto got = place_waiting(waiting);
      if (!got) return std::unexpected(got.error());
      if (*got) ++placed;
    }
    looked_at += kWaitingPage;
    if (std::ssize(*rows) < kWaitingPage) break;
  }
  const auto migrated = migration_.run(stop);
  if (!migrated) return std::unexpected(migrated.error());
  if (placed + *migrated > 0 && parts_.wake) parts_.wake();
  summary.count("placed", placed);
  summary.count("migrated", *migrated);
  return summary;
}

Result<JobSummary> DeploymentJobs::replace_finisher(const std::stop_token& stop) {
  JobSummary summary;
  const auto rows = parts_.database.read<std::vector<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.replacing(tx, parts_.clock.now() - kHealthyBefore, 100); });
  if (!rows) return std::unexpected(rows.error());
  std::int64_t stopped = 0;
  for (const DeploymentRow& row : *rows) {
    if (stop.stop_requested()) break;
    if (auto done = parts_.deployments.request_stop(*row.replaces_deployment_id, "replaced", "system:replace"); !done)
      return std::unexpected(done.error());
    ++stopped;
  }
  summary.count("stopped", stopped);
  return summary;
}

// ---- what is old ----------------------------------------------------------------------------------------------------

Result<JobSummary> DeploymentJobs::retention(const std::stop_token& stop) {
  JobSummary summary;
  const auto repeated = [&](const std::function<Result<std::int64_t>(db::Transaction&)>& step) -> Result<std::int64_t> {
    std::int64_t total = 0;
    while (!stop.stop_requested()) {
      const auto removed = parts_.database.write<std::int64_t>(step);
      if (!removed) return removed;
      total += *removed;
      if (*removed < 1000) break;
    }
    return total;
  };
  const UtcTime now = parts_.clock.now();
  const UtcTime before = now - Seconds(parts_.settings().event_retention_days * 86400);
  const auto events =
      repeated([&](db::Transaction& tx) { return DeploymentEventStore().remove_old(tx, before, 1000); });
  if (!events) return std::unexpected(events.error());
  const auto secrets = repeated([&](db::Transaction& tx) { return RevisionStore().drop_leftover_secrets(tx, 1000); });
  if (!secrets) return std::unexpected(secrets.error());
  const auto names = repeated(
      [&](db::Transaction& tx) { return ServiceStore().remove_deleted(tx, now - ServiceStore::kNameHeld, 1000); });
  if (!names) return std::unexpected(names.error());
  summary.count("events", *events);
  summary.count("secrets", *secrets);
  summary.count("names", *names);
  return summary;
}

}  // namespace ee::cp
