#include "cp/store/job_store.h"

#include <fmt/format.h>

namespace ee::cp {

namespace {
db::Params lease_params(const JobLease& lease) {
  return {{"name", lease.name}, {"owner", lease.owner}, {"fence", lease.fence}};
}

bool is_failure(JobOutcome outcome) { return outcome == JobOutcome::failed || outcome == JobOutcome::timed_out; }
}  // namespace

Result<void> JobStore::ensure(db::Transaction& tx, const std::string& name, UtcTime first_run_at) const {
  const auto made =
      tx.execute("INSERT INTO jobs (name, next_run_at) VALUES (:name, :next) ON CONFLICT (name) DO NOTHING",
                 {{"name", name}, {"next", first_run_at}});
  if (!made) return std::unexpected(made.error());
  return {};
}

Result<std::vector<JobRow>> JobStore::all(db::Transaction& tx) const {
  static const std::string sql = fmt::format("SELECT {} FROM jobs ORDER BY name", db::columns_of<JobRow>());
  return tx.query<JobRow>(sql);
}

Result<std::optional<JobRow>> JobStore::get(db::Transaction& tx, const std::string& name) const {
  static const std::string sql = fmt::format("SELECT {} FROM jobs WHERE name=:name", db::columns_of<JobRow>());
  return tx.query_one<JobRow>(sql, {{"name", name}});
}

Result<std::optional<JobRow>> JobStore::acquire(db::Transaction& tx, const std::string& name, const std::string& owner,
                                                UtcTime now) const {
  static const std::string sql = fmt::format(
      "UPDATE jobs SET lease_owner=:owner, lease_fence=lease_fence+1, lease_expires_at=:expires, last_started_at=:now "
      "WHERE name=:name AND (lease_expires_at IS NULL OR lease_expires_at<=:now) "
      "AND (run_requested_at IS NOT NULL OR (paused=0 AND next_run_at<=:now)) RETURNING {}",
      db::columns_of<JobRow>());
  auto row = tx.query_one<JobRow>(sql, {{"owner", owner}, {"expires", now + kLease}, {"now", now}, {"name", name}});
  if (!row || !*row) return row;
  const auto closed =
      tx.execute("UPDATE job_runs SET outcome=:outcome, finished_at=:now WHERE name=:name AND finished_at IS NULL",
                 {{"outcome", JobOutcome::lease_lost}, {"now", now}, {"name", name}});
  if (!closed) return std::unexpected(closed.error());
  return row;
}

Result<bool> JobStore::renew(db::Transaction& tx, const JobLease& lease, UtcTime now) const {
  db::Params params = lease_params(lease);
  params.emplace_back("expires", now + kLease);
  const auto renewed = tx.execute(
      "UPDATE jobs SET lease_expires_at=:expires WHERE name=:name AND lease_owner=:owner AND lease_fence=:fence",
      params);
  if (!renewed) return std::unexpected(renewed.error());
  return *renewed == 1;
}

Result<void> JobStore::check_fence(db::Transaction& tx, const JobLease& lease) const {
  const auto held = tx.query_one<std::int64_t>(
      "SELECT lease_fence FROM jobs WHERE name=:name AND lease_owner=:owner AND lease_fence=:fence",
      lease_params(lease));
  if (!held) return std::unexpected(held.error());
  if (!*held) return fail(ErrorCode::concurrent_update, fmt::format("the lease of job {} is lost", lease.name));
  return {};
}

Result<bool> JobStore::finish(db::Transaction& tx, const JobLease& lease, const JobFinish& finish,
                              UtcTime seen_next_run_at) const {
  db::Params params = lease_params(lease);
  params.emplace_back("seen", seen_next_run_at);
  params.emplace_back("next", finish.next_run_at);
  params.emplace_back("finished", finish.finished_at);
  params.emplace_back("succeeded", finish.outcome == JobOutcome::ok ? std::optional(finish.finished_at) : std::nullopt);
  params.emplace_back("outcome", finish.outcome);
  params.emplace_back("took", (finish.finished_at - finish.started_at).count());
  params.emplace_back("error", finish.error);
  params.emplace_back("in_a_row", finish.consecutive_failures);
  params.emplace_back("failed", is_failure(finish.outcome));
  const auto written = tx.execute(
      "UPDATE jobs SET lease_owner=NULL, lease_expires_at=NULL, run_requested_at=NULL, "
      "next_run_at=CASE WHEN next_run_at<>:seen THEN next_run_at ELSE :next END, last_finished_at=:finished, "
      "last_success_at=COALESCE(:succeeded, last_success_at), last_outcome=:outcome, last_duration_ms=:took, "
      "last_error=:error, consecutive_failures=:in_a_row, runs_total=runs_total+1, "
      "failures_total=failures_total+:failed WHERE name=:name AND lease_owner=:owner AND lease_fence=:fence",
      params);
  if (!written) return std::unexpected(written.error());
  return *written == 1;
}

Result<void> JobStore::note_timed_out(db::Transaction& tx, const JobLease& lease, const std::string& error) const {
  db::Params params = lease_params(lease);
  params.emplace_back("outcome", JobOutcome::timed_out);
  params.emplace_back("error", error);
  const auto written = tx.execute(
      "UPDATE jobs SET last_outcome=:outcome, last_error=:error "
      "WHERE name=:name AND lease_owner=:owner AND lease_fence=:fence",
      params);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<UtcTime> JobStore::request_run(db::Transaction& tx, const std::string& name, UtcTime now) const {
  const auto row = get(tx, name);
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::job_unknown);
  if ((*row)->leased(now)) return fail(ErrorCode::job_running);
  if ((*row)->run_requested_at) return *(*row)->run_requested_at;
  const auto asked =
      tx.execute("UPDATE jobs SET run_requested_at=:now WHERE name=:name", {{"now", now}, {"name", name}});
  if (!asked) return std::unexpected(asked.error());
  return now;
}

Result<void> JobStore::wake(db::Transaction& tx, const std::string& name, UtcTime now) const {
  const auto woken = tx.execute("UPDATE jobs SET next_run_at=:now WHERE name=:name", {{"now", now}, {"name", name}});
  if (!woken) return std::unexpected(woken.error());
  return {};
}

Result<bool> JobStore::set_paused(db::Transaction& tx, const std::string& name, bool paused) const {
  const auto changed =
      tx.execute("UPDATE jobs SET paused=:paused WHERE name=:name", {{"paused", paused}, {"name", name}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<void> JobStore::put_run(db::Transaction& tx, const JobRunRow& run) const {
  static const std::string sql =
      fmt::format("INSERT INTO job_runs ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
                  db::columns_of<JobRunRow>(), db::placeholders_of<JobRunRow>(), db::excluded_of<JobRunRow>("id"));
  if (const auto written = tx.execute(sql, db::params_of(run)); !written) return std::unexpected(written.error());
  const auto pruned = tx.execute(
      "DELETE FROM job_runs WHERE id IN (SELECT id FROM job_runs WHERE name=:name "
      "ORDER BY started_at DESC, id DESC LIMIT 1000 OFFSET :kept)",
      {{"name", run.name}, {"kept", kRunsKept}});
  if (!pruned) return std::unexpected(pruned.error());
  return {};
}

Result<Page<JobRunRow>> JobStore::runs(db::Transaction& tx, const std::string& name, const PageRequest& page) const {
  db::Params params = {{"name", name}, {"limit", page.limit + 1}};
  if (page.after) {
    params.emplace_back("after_at", page.after->at);
    params.emplace_back("after_id", page.after->id);
  }
  auto rows = tx.query<JobRunRow>(
      fmt::format("SELECT {} FROM job_runs WHERE name=:name{} ORDER BY started_at DESC, id DESC LIMIT :limit",
                  db::columns_of<JobRunRow>(), page.after ? " AND (started_at, id)<(:after_at, :after_id)" : ""),
      params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const JobRunRow& row) { return PagePosition{.at = row.started_at, .id = row.id}; });
}

}  // namespace ee::cp
