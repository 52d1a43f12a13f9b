#include "db/postgres_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "db/migrations.h"
#include "db/postgres_codes.h"
#include "db/postgres_connection.h"
#include "db/postgres_listener.h"
#include "db/postgres_readers.h"
#include "db/postgres_writer.h"

namespace ee::db {

namespace {
constexpr int kOldestServer = 140000;
/// A change of schema may wait for another starter's, and rewrite tables.
constexpr Milliseconds kSchemaLockWait{60000};
constexpr Milliseconds kSchemaStatement{600000};

StartError refused(std::string code, std::string detail, int exit_code = 4) {
  return {.code = std::move(code), .exit_code = exit_code, .detail = std::move(detail)};
}

/// What is answered as stored must outlive a power cut: it is money.
std::optional<StartError> check_durable(PostgresConnection& connection) {
  for (const char* name : {"fsync", "synchronous_commit"}) {
    const auto setting = connection.script(fmt::format("SELECT current_setting('{}')", name));
    if (!setting || setting->size() != 1)
      return refused("database_open_failed",
                     setting ? "the server does not show its settings" : setting.error().detail);
    if (setting->front() == "off") return refused("database_not_durable", fmt::format("the server has {}=off", name));
  }
  return std::nullopt;
}

/// The server, and the database in it, are as the program needs them.
std::optional<StartError> check_server(PostgresConnection& connection, bool durable) {
  const auto said = connection.script(
      "SELECT current_setting('server_version_num'), pg_encoding_to_char(encoding), datcollate, "
      "current_setting('transaction_read_only'), datlocprovider "
      "FROM pg_database WHERE datname = current_database()");
  const auto old = connection.script(
      "SELECT current_setting('server_version_num'), pg_encoding_to_char(encoding), datcollate, "
      "current_setting('transaction_read_only'), 'c' FROM pg_database WHERE datname = current_database()");
  const auto& facts = said ? said : old;  // before 15 there is no provider but the C library
  if (!facts || facts->size() != 5)
    return refused("database_open_failed", facts ? "the server does not describe its database" : facts.error().detail);
  if (std::stoi(facts->at(0)) < kOldestServer)
    return refused("database_too_old", "the server is older than PostgreSQL 14");
  if (facts->at(1) != "UTF8") return refused("database_encoding", "the database's encoding is " + facts->at(1));
  constexpr std::array<std::string_view, 4> kByBytes = {"C", "POSIX", "C.UTF-8", "C.utf8"};
  const bool by_bytes = facts->at(4) == "b" ||  // the builtin provider knows nothing else
                        (facts->at(4) == "c" && std::ranges::find(kByBytes, facts->at(2)) != kByBytes.end());
  if (!by_bytes)
    return refused("database_collation",
                   fmt::format("the database's collation is {}; create it with TEMPLATE template0 ENCODING 'UTF8' "
                               "LOCALE 'C'",
                               facts->at(2)));
  if (facts->at(3) != "off") return refused("database_read_only", "the server takes no writes");
  return durable ? check_durable(connection) : std::nullopt;
}

class PostgresSchemaSession final : public SchemaSession {
 public:
  explicit PostgresSchemaSession(PostgresConnection& connection) : connection_(connection), transaction_(connection) {}

  Engine engine() const override { return Engine::postgresql; }
  Transaction& transaction() override { return transaction_; }
  Result<void> script(std::string_view sql) override {
    const auto done = connection_.script(expand_tokens(sql, Engine::postgresql));
    if (!done) return std::unexpected(done.error());
    if (!connection_.in_transaction()) return fail(ErrorCode::internal_error, "the text ended the transaction");
    return {};
  }
  Result<std::vector<std::string>> tables() override {
    return transaction().query<std::string>(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()");
  }
  Result<std::optional<std::string>> dangling_rows() override {
    if (const auto checked = connection_.script("SET CONSTRAINTS ALL IMMEDIATE"); !checked)
      return std::unexpected(checked.error());
    return std::nullopt;
  }
  std::expected<std::optional<std::filesystem::path>, StartError> back_up(int /*version*/) override {
    return std::nullopt;
  }

 private:
  PostgresConnection& connection_;
  PostgresTransaction transaction_;
};
}  // namespace

PostgresDatabase::PostgresDatabase(PostgresOptions options) : options_(std::move(options)) {}

PostgresDatabase::~PostgresDatabase() { close(); }

std::expected<std::unique_ptr<PostgresDatabase>, StartError> PostgresDatabase::open(const PostgresOptions& options,
                                                                                    const Clock& clock,
                                                                                    WriteObserver* observer) {
  if (auto problem = postgres_url_problem(options.url, false))
    return std::unexpected(refused("database_url_invalid", *problem, 3));
  if (auto problem = postgres_url_problem(options.url, options.strict))
    return std::unexpected(refused("database_tls_required", *problem, 6));
  std::unique_ptr<PostgresDatabase> database(new PostgresDatabase(options));
  if (auto problem = database->start(clock, observer)) return std::unexpected(std::move(*problem));
  return database;
}

const char* PostgresDatabase::name_of(Role role) {
  switch (role) {
    case Role::writer: return "writer";
    case Role::reader: return "reader";
    case Role::maintenance: return "maintenance";
    case Role::listener: break;
  }
  return "listener";
}

std::unique_ptr<PostgresConnection> PostgresDatabase::connection(Role role) const {
  const bool maintenance = role == Role::maintenance;
  return std::make_unique<PostgresConnection>(
      PostgresConnectionOptions{.url = options_.url,
                                .role = name_of(role),
                                .verify_tls = options_.strict,
                                .statement_timeout = maintenance ? kSchemaStatement : options_.statement_timeout,
                                .lock_timeout = maintenance ? kSchemaLockWait : options_.lock_timeout,
                                .idle_in_transaction_timeout = options_.idle_in_transaction_timeout});
}

std::optional<StartError> PostgresDatabase::start(const Clock& clock, WriteObserver* observer) {
  const auto opened = [&](Role role) -> std::expected<std::unique_ptr<PostgresConnection>, StartError> {
    auto made = connection(role);
    if (const auto connected = made->connect(); !connected)
      return std::unexpected(refused("database_open_failed", connected.error().detail));
    return made;
  };
  auto writer = opened(Role::writer);
  if (!writer) return writer.error();
  if (auto problem = check_server(**writer, options_.durable)) return problem;
  if (const auto now = (*writer)->script(expand_tokens("SELECT @now_ms@", Engine::postgresql)); now && !now->empty())
    note_clock(now->front(), clock_offset_ms_);
  std::vector<std::unique_ptr<PostgresConnection>> readers;
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.readers, 1); ++i) {
    auto reader = opened(Role::reader);
    if (!reader) return reader.error();
    readers.push_back(std::move(*reader));
  }
  maintenance_ = connection(Role::maintenance);
  readers_ = std::make_unique<PostgresReaders>(std::move(readers), options_.statement_timeout);
  const WriterOptions writing{.queue_max = options_.write_queue,
                              .group_max = options_.group_max,
                              .group_wait = options_.group_wait,
                              .slow_write = options_.slow_write};
  writer_ = std::make_unique<GroupWriter>(
      std::make_unique<PostgresWriteEngine>(std::move(*writer), options_.slow_write, observer, clock_offset_ms_),
      writing, clock, observer);
  return std::nullopt;
}

Result<void> PostgresDatabase::run_write(const std::function<Result<void>(Transaction&)>& work) {
  if (writer_ == nullptr) return fail(ErrorCode::database_unavailable, "the database is closed");
  return writer_->submit(work);
}

Result<void> PostgresDatabase::run_read(const std::function<Result<void>(Transaction&)>& work) {
  if (readers_ == nullptr) return fail(ErrorCode::database_unavailable, "the database is closed");
  return readers_->run(work);
}

WriterHealth PostgresDatabase::health() const { return writer_ == nullptr ? WriterHealth{} : writer_->health(); }

Result<std::vector<std::string>> PostgresDatabase::check(std::stop_token stop) {
  constexpr std::array<std::string_view, 3> kQuestions = {
      "SELECT 'constraint ' || conname || ' was never checked' FROM pg_constraint c JOIN pg_namespace n "
      "ON n.oid = c.connamespace WHERE n.nspname = current_schema() AND NOT convalidated LIMIT 100",
      "SELECT 'trigger ' || tgname || ' is switched off' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND tgenabled = 'D' LIMIT 100",
      "SELECT 'index ' || c.relname || ' is not valid' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND NOT indisvalid LIMIT 100"};
  std::vector<std::string> findings;
  const auto read = run_read([&](Transaction& tx) -> Result<void> {
    for (const std::string_view question : kQuestions) {
      if (stop.stop_requested()) return fail(ErrorCode::database_timeout, "the check was stopped");
      auto found = tx.query<std::string>(question);
      if (!found) return std::unexpected(std::move(found.error()));
      findings.insert(findings.end(), std::make_move_iterator(found->begin()), std::make_move_iterator(found->end()));
    }
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return findings;
}

std::optional<StartError> PostgresDatabase::with_schema(
    SchemaAccess access, const std::function<std::optional<StartError>(SchemaSession&)>& work) {
  const std::lock_guard lock(maintenance_mutex_);
  require(maintenance_ != nullptr);
  PostgresConnection& connection = *maintenance_;
  const auto failed = [&](const Error& error) { return refused("migration_failed", error.detail); };
  if (!connection.connected())
    if (const auto made = connection.connect(); !made) return failed(made.error());
  const auto begun =
      connection.script("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7305804402)");
  if (!begun) return failed(begun.error());
  PostgresSchemaSession session(connection);
  auto problem = work(session);
  if (!problem && access == SchemaAccess::change) {
    const auto committed = connection.script("COMMIT");
    if (!committed) problem = failed(committed.error());
    if (committed && connection.last_command() != "COMMIT")
      problem = refused("migration_failed", "COMMIT: rolled back");
  }
  if (connection.in_transaction() && !connection.script("ROLLBACK")) connection.disconnect();
  return problem;
}

std::unique_ptr<Subscription> PostgresDatabase::listen(const std::string& topic, std::function<void()> heard) {
  return std::make_unique<PostgresListener>(connection(Role::listener), topic, std::move(heard));
}

void PostgresDatabase::close() {
  if (writer_ != nullptr) writer_->close();
  if (readers_ != nullptr) readers_->close();
  const std::lock_guard lock(maintenance_mutex_);
  if (maintenance_ != nullptr) maintenance_->disconnect();
}

}  // namespace ee::db
