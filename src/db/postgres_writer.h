#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/random.h"
#include "db/group_writer.h"
#include "db/postgres_connection.h"

namespace ee::db {

/// Stores groups in PostgreSQL: one transaction under the advisory lock that all replicas take, a savepoint for each
/// item, one COMMIT. Under the lock a write sees what every write before it left, on any replica, and nothing changes
/// beneath it. A group that the server gave up for another's sake is run again, three times.
///
/// A connection that is lost during COMMIT leaves open what became of it; the server is asked on the next connection.
class PostgresWriteEngine final : public WriteEngine {
 public:
  /// `observer` (may be null) and `clock_offset` must outlive it. At every group `clock_offset` is set to the server's
  /// clock less this machine's.
  PostgresWriteEngine(std::unique_ptr<PostgresConnection> connection, Milliseconds slow_write, WriteObserver* observer,
                      std::atomic<std::int64_t>& clock_offset_ms);
  std::optional<Error> store(WriteGroup& group) override;
  void abandon() override;

 private:
  enum class Commit { done, undone, unknown };

  std::optional<Error> try_store(WriteGroup& group, bool& again);
  Result<void> begin();
  std::optional<Error> run_item(WriteItem& item, bool alone, bool& again);
  std::optional<Error> undo_item(bool alone);
  std::optional<Error> commit();
  Commit ask_about_commit();

  const std::unique_ptr<PostgresConnection> connection_;
  const Milliseconds slow_write_;
  WriteObserver* const observer_;
  std::atomic<std::int64_t>& clock_offset_ms_;
  std::string transaction_id_;
};

/// Reads the server's clock from `server_ms` (milliseconds, as text) into `offset_ms`: its difference to this
/// machine's, 0 when it is less than what the way between them may account for.
void note_clock(std::string_view server_ms, std::atomic<std::int64_t>& offset_ms);

}  // namespace ee::db
