#include "cp/jobs/job_admin.h"

#include "cp/store/audit_log_store.h"

namespace ee::cp {

namespace {
constexpr std::string_view kCursorScope = "job_runs";

JobView view_of(const JobState& state) {
  const JobRow& row = state.row;
  return {.name = row.name,
          .kind = state.kind,
          .period_seconds = std::chrono::ceil<Seconds>(state.period).count(),
          .paused = row.paused,
          .running = state.running,
          .lease_owner = row.lease_owner,
          .lease_expires_at = row.lease_expires_at,
          .next_run_at = row.next_run_at,
          .last_started_at = row.last_started_at,
          .last_finished_at = row.last_finished_at,
          .last_success_at = row.last_success_at,
          .last_outcome = row.last_outcome,
          .last_duration_ms = row.last_duration_ms,
          .last_error = row.last_error,
          .consecutive_failures = row.consecutive_failures,
          .runs_total = row.runs_total,
          .failures_total = row.failures_total};
}

JobRunView view_of(const JobRunRow& row) {
  return {.id = row.id,
          .name = row.name,
          .replica = row.replica,
          .trigger = row.trigger,
          .started_at = row.started_at,
          .finished_at = row.finished_at,
          .outcome = row.outcome,
          .error = row.error,
          .summary = row.summary};
}
}  // namespace

Result<JobList> JobAdmin::list() const {
  const auto states = runner_.states();
  if (!states) return std::unexpected(states.error());
  JobList list{.items = {}, .next_cursor = std::nullopt};
  for (const JobState& state : *states) list.items.push_back(view_of(state));
  return list;
}

Result<JobRunList> JobAdmin::runs(const std::string& name, std::string_view limit, std::string_view cursor) const {
  if (!runner_.knows(name)) return fail(ErrorCode::job_unknown);
  const auto request = cursors_.page_request(kCursorScope, limit, cursor);
  if (!request) return std::unexpected(request.error());
  const auto page =
      database_.read<Page<JobRunRow>>([&](db::Transaction& tx) { return JobStore().runs(tx, name, *request); });
  if (!page) return std::unexpected(page.error());
  JobRunList list{.items = {}, .next_cursor = cursors_.encode(kCursorScope, page->next)};
  for (const JobRunRow& row : page->items) list.items.push_back(view_of(row));
  return list;
}

Result<JobRunRequested> JobAdmin::run_now(const std::string& name, const Actor& actor, std::string_view action) {
  const AuditEntry entry{.actor = actor.name,
                         .action = std::string(action),
                         .object_type = "job",
                         .object_id = name,
                         .request_id = actor.request_id,
                         .client_address = actor.client_address};
  const auto asked = runner_.request_run(name, [&](db::Transaction& tx) -> Result<void> {
    const auto audited = AuditLogStore().append(tx, entry, clock_.now(), random_);
    if (!audited) return std::unexpected(audited.error());
    return {};
  });
  if (!asked) return std::unexpected(asked.error());
  return JobRunRequested{.name = name, .run_requested_at = *asked};
}

}  // namespace ee::cp
