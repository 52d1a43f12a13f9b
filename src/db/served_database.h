#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "db/database.h"
#include "db/group_writer.h"
#include "db/start_error.h"

namespace ee::db {

enum class Engine { sqlite, postgresql };

/// One transaction in which the schema is looked at and changed, while no other process changes it.
class SchemaSession {
 public:
  virtual ~SchemaSession() = default;
  virtual Engine engine() const = 0;
  virtual Transaction& transaction() = 0;
  /// Several statements in one text, without parameters, with the tokens of `Migration`; none may begin or end a
  /// transaction.
  virtual Result<void> script(std::string_view sql) = 0;
  /// All tables, whoever made them.
  virtual Result<std::vector<std::string>> tables() = 0;
  /// A table with rows that refer to nothing, if there is one.
  virtual Result<std::optional<std::string>> dangling_rows() = 0;
  /// A copy of the database as it was before this transaction, for an upgrade to `version`; nothing where the engine
  /// has no such thing.
  virtual std::expected<std::optional<std::filesystem::path>, StartError> back_up(int version) = 0;
};

/// See ServedDatabase::listen. Ends when it is destroyed: the function is not called any more then. It may outlive the
/// database.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

/// A database that a control plane runs on: what both engines offer beside reads and writes. Thread-safe.
class ServedDatabase : public Database {
 public:
  virtual Engine engine() const = 0;
  /// What `/health` and `/ready` ask.
  virtual WriterHealth health() const = 0;
  /// Looks for damage: the findings; empty is good. May run long; ends early with `database_timeout` when `stop` is
  /// requested.
  virtual Result<std::vector<std::string>> check(std::stop_token stop) = 0;
  /// Free space where the database lies; nothing when it cannot be asked.
  virtual std::optional<std::int64_t> free_bytes() const = 0;
  /// The clock that replicas share, less that of this machine; zero where there is only this machine.
  virtual Milliseconds clock_offset() const { return Milliseconds(0); }
  /// Calls `heard` after transactions that announced `topic`, whichever process ran them; several may be one call. Also
  /// whenever an announcement may have been missed: when the connection to the server is made, and made again. So
  /// whoever listens reads anew when it is called, and has all that was announced; while the connection is lost it is
  /// not called. On a thread of the subscription's own. `topic`: small letters and `_`. Null where no other process
  /// writes.
  virtual std::unique_ptr<Subscription> listen(const std::string& topic, std::function<void()> heard) = 0;
  enum class SchemaAccess { look, change };
  /// Runs `work` in a schema session, one at a time over all processes. Its changes are kept with `change` and when it
  /// returns nothing; else the database is as before.
  virtual std::optional<StartError> with_schema(
      SchemaAccess access, const std::function<std::optional<StartError>(SchemaSession&)>& work) = 0;
  /// Refuses new work, finishes the queue, waits for reads. May be called twice. No other thread may use the object
  /// afterwards.
  virtual void close() = 0;
};

}  // namespace ee::db
