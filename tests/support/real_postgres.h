#pragma once
#include <cstdint>
#include <expected>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "tests/support/child_process.h"

namespace ee::db {
class PostgresConnection;
}

namespace ee::testing {

/// Debian's own PostgreSQL server for tests, apart from any other on the machine: data, socket and port of its own, no
/// durability (unless asked), everybody on the machine trusted. As root it runs as `nobody`, since the server refuses
/// root. It ends with this process, however that comes, and everything it made is removed.
class RealPostgres {
 public:
  /// The one of this process, started at the first call (about two seconds). Throws when the machine has none.
  static RealPostgres& shared();
  /// Why there is none, beginning with `postgres_unusable`.
  static std::expected<std::unique_ptr<RealPostgres>, std::string> start(bool durable = false);
  RealPostgres(const RealPostgres&) = delete;
  RealPostgres& operator=(const RealPostgres&) = delete;
  ~RealPostgres();

  /// A new database, a copy of `from`, to which nobody may be connected. Its name.
  std::string create_database(const std::string& from = "template0");
  void drop_database(const std::string& name);
  /// `postgres://...`, over TCP.
  std::string url(const std::string& database) const;
  /// Runs SQL as the superuser, in the database `postgres`. Throws on an error.
  void run(const std::string& sql);

  /// Ends it at once, as a crash does (`kill -9` of all its processes), and starts it again.
  void crash();
  void launch();
  pid_t pid() const { return server_->pid(); }
  std::uint16_t port() const { return port_; }

 private:
  RealPostgres();
  bool wait_ready() const;

  std::filesystem::path root_;
  std::uint16_t port_ = 0;
  bool durable_ = false;
  std::unique_ptr<ChildProcess> server_;
  std::mutex admin_mutex_;
  std::unique_ptr<db::PostgresConnection> admin_;
  int databases_ = 0;
};

}  // namespace ee::testing
