#include "db/postgres_writer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <random>
#include <thread>

#include "db/postgres_codes.h"

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;

/// Tried again after these, each less or more by up to half.
constexpr std::array<Milliseconds, 3> kWaits = {Milliseconds(10), Milliseconds(50), Milliseconds(250)};
constexpr std::int64_t kClockNoiseMs = 100;
constexpr Seconds kAskedAboutCommit{10};
constexpr Milliseconds kAskAgainAfter{100};

/// `pg_advisory_xact_lock` ends with the transaction, however that ends. Of the columns the first waits for nothing.
constexpr const char* kBegin =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7305804403); "
    "SELECT pg_current_xact_id(), CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

void wait_about(Milliseconds wait) {
  // Not a secret: any spread keeps two replicas apart.
  static thread_local std::minstd_rand spread(std::random_device{}());
  std::this_thread::sleep_for(wait / 2 + Milliseconds(spread() % static_cast<unsigned>(wait.count() + 1)));
}
}  // namespace

void note_clock(std::string_view server_ms, std::atomic<std::int64_t>& offset_ms) {
  std::int64_t server = 0;
  const auto parsed = std::from_chars(server_ms.data(), server_ms.data() + server_ms.size(), server);
  if (parsed.ec != std::errc()) return;
  const auto here = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t offset = server - std::chrono::duration_cast<Milliseconds>(here).count();
  offset_ms = std::abs(offset) < kClockNoiseMs ? 0 : offset;
}

PostgresWriteEngine::PostgresWriteEngine(std::unique_ptr<PostgresConnection> connection, Milliseconds slow_write,
                                         WriteObserver* observer, std::atomic<std::int64_t>& clock_offset_ms)
    : connection_(std::move(connection)),
      slow_write_(slow_write),
      observer_(observer),
      clock_offset_ms_(clock_offset_ms) {}

void PostgresWriteEngine::abandon() { connection_->disconnect(); }

std::optional<Error> PostgresWriteEngine::store(WriteGroup& group) {
  for (std::size_t attempt = 0;; ++attempt) {
    bool again = false;
    auto failed = try_store(group, again);
    if (!failed) return std::nullopt;
    if (connection_->in_transaction() && !connection_->script("ROLLBACK")) connection_->disconnect();
    if (!again || attempt == kWaits.size()) return failed;
    wait_about(kWaits[attempt]);
  }
}

std::optional<Error> PostgresWriteEngine::try_store(WriteGroup& group, bool& again) {
  if (const auto begun = begin(); !begun) {
    again = may_succeed_again(connection_->last_state());
    return begun.error();
  }
  const bool alone = group.size() == 1;
  for (const auto& item : group)
    if (auto failed = run_item(*item, alone, again)) return failed;
  if (!connection_->in_transaction()) return std::nullopt;  // the only item was undone
  auto failed = commit();
  if (failed) again = may_succeed_again(connection_->last_state());
  return failed;
}

Result<void> PostgresWriteEngine::begin() {
  if (!connection_->connected())
    if (auto made = connection_->connect(); !made) return made;
  auto begun = connection_->script(kBegin);
  // A connection that was lost since the last group is only noticed now; nothing has been run on it.
  if (!begun && !connection_->connected()) {
    if (auto made = connection_->connect(); !made) return made;
    begun = connection_->script(kBegin);
  }
  if (!begun) return std::unexpected(begun.error());
  if (begun->size() != 2) return fail(ErrorCode::database_unavailable, "BEGIN gave no transaction id");
  transaction_id_ = begun->front();
  note_clock(begun->back(), clock_offset_ms_);
  return {};
}

/// An error only when the whole group is lost.
std::optional<Error> PostgresWriteEngine::run_item(WriteItem& item, bool alone, bool& again) {
  if (!alone)
    if (auto set = connection_->script("SAVEPOINT item"); !set) return set.error();
  PostgresTransaction transaction(*connection_);
  item.outcome = run_work(item.work, transaction, slow_write_, observer_);
  if (transaction.failure() && may_succeed_again(transaction.failed_state())) {
    again = true;
    return transaction.failure();
  }
  if (!connection_->in_transaction())
    return transaction.failure() ? transaction.failure()
                                 : postgres_error(kConnectionLost, "the transaction is gone", {});
  // The function may have taken the failure for an answer; its work is undone all the same.
  if (item.outcome && connection_->in_failed_transaction()) item.outcome = std::unexpected(*transaction.failure());
  if (item.outcome) {
    const auto kept = connection_->script(alone ? "SET CONSTRAINTS ALL IMMEDIATE"
                                                : "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT item; "
                                                  "SET CONSTRAINTS ALL DEFERRED");
    if (kept) return std::nullopt;
    if (!connection_->connected()) return kept.error();
    item.outcome = std::unexpected(kept.error());  // a deferred foreign key: the COMMIT would fail for everybody
  }
  return undo_item(alone);
}

std::optional<Error> PostgresWriteEngine::undo_item(bool alone) {
  const auto undone = connection_->script(alone ? "ROLLBACK" : "ROLLBACK TO SAVEPOINT item; RELEASE SAVEPOINT item");
  if (undone) return std::nullopt;
  // Alone, nothing else is lost with it: the item's own error says more.
  if (alone) {
    connection_->disconnect();
    return std::nullopt;
  }
  return undone.error();
}

std::optional<Error> PostgresWriteEngine::commit() {
  const auto committed = connection_->script("COMMIT");
  if (committed && connection_->last_command() == "COMMIT") return std::nullopt;
  if (committed) return postgres_error("40000", "COMMIT was a rollback", {});
  if (connection_->connected()) return committed.error();
  switch (ask_about_commit()) {
    case Commit::done: return std::nullopt;
    case Commit::undone: return committed.error();
    case Commit::unknown: break;
  }
  Error unknown = committed.error();
  unknown.detail += "; it is not known whether the writes were stored";
  return unknown;
}

PostgresWriteEngine::Commit PostgresWriteEngine::ask_about_commit() {
  const std::string question = fmt::format("SELECT pg_xact_status('{}')", transaction_id_);
  for (const auto give_up_at = Steady::now() + kAskedAboutCommit; Steady::now() < give_up_at;) {
    if (connection_->connected() || connection_->connect()) {
      const auto said = connection_->script(question);
      if (said && said->size() == 1) {
        if (said->front() == "committed") return Commit::done;
        if (said->front() == "aborted") return Commit::undone;
      }
    }
    std::this_thread::sleep_for(kAskAgainAfter);
  }
  return Commit::unknown;
}

}  // namespace ee::db
