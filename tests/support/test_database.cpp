#include "tests/support/test_database.h"

#include <stdexcept>

#include "common/random.h"
#include "cp/store/schema.h"
#include "db/postgres_database.h"
#include "tests/support/real_postgres.h"

namespace ee::testing {

namespace {

template <class T>
std::unique_ptr<T> opened(std::expected<std::unique_ptr<T>, db::StartError> result) {
  if (!result) throw std::runtime_error(result.error().code + ": " + result.error().detail);
  return std::move(*result);
}

std::unique_ptr<db::ServedDatabase> open_postgres(const std::string& url, const db::SqliteOptions& like,
                                                  const Clock& clock) {
  db::PostgresOptions options;
  options.url = Secret(url);
  options.strict = false;
  options.durable = false;
  options.readers = like.readers;
  options.write_queue = like.write_queue;
  options.group_max = like.group_max;
  options.group_wait = like.group_wait;
  return opened(db::PostgresDatabase::open(options, clock));
}

void prepare(db::ServedDatabase& database) {
  const SystemClock clock;
  SystemRandom random;
  const auto ready = cp::prepare_schema(database, test_identity(), clock, random);
  if (!ready) throw std::runtime_error(ready.error().code + ": " + ready.error().detail);
}

/// A migrated file, made at the first call of the process.
const std::filesystem::path& template_file() {
  static const TempDir dir;
  static const std::filesystem::path file = [] {
    db::SqliteOptions options;
    options.path = dir / "template.db";
    options.durable = false;
    options.strict = false;
    const SystemClock clock;
    prepare(*opened(db::SqliteDatabase::open(options, clock)));
    return options.path;
  }();
  return file;
}

/// The same on the server.
const std::string& template_database() {
  static const std::string name = [] {
    RealPostgres& server = RealPostgres::shared();
    std::string made = server.create_database();
    const SystemClock clock;
    prepare(*open_postgres(server.url(made), {}, clock));
    return made;
  }();
  return name;
}

}  // namespace

bool on_postgres() {
  const char* engine = std::getenv("EE_TEST_DATABASE");  // NOLINT(concurrency-mt-unsafe): no test sets it
  return engine != nullptr && std::string_view(engine) == "postgresql";
}

db::DatabaseIdentity test_identity() { return {.env = "dev", .cluster_id = "test", .app_version = "0.0.0-test"}; }

PostgresCopy::PostgresCopy() {
  const std::string& whole = template_database();
  name_ = RealPostgres::shared().create_database(whole);
  url_ = RealPostgres::shared().url(name_);
}

PostgresCopy::~PostgresCopy() {
  try {
    RealPostgres::shared().drop_database(name_);
  } catch (const std::exception&) {
    // The server goes with the process, and everything with it.
    name_.clear();
  }
}

TestDatabase::TestDatabase(db::SqliteOptions options, const Clock* clock)
    : options_(std::move(options)), clock_(clock != nullptr ? *clock : system_clock_) {
  options_.path = path();
  options_.durable = false;
  options_.strict = false;
  if (on_postgres()) {
    copy_.emplace();
  } else {
    std::filesystem::copy_file(template_file(), options_.path);
    std::filesystem::permissions(options_.path,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  restart();
}

void TestDatabase::restart() {
  database_.reset();
  database_ = open_again();
}

std::unique_ptr<db::ServedDatabase> TestDatabase::open_again() const {
  if (copy_) return open_postgres(copy_->url(), options_, clock_);
  return opened(db::SqliteDatabase::open(options_, clock_));
}

std::int64_t TestDatabase::execute(std::string_view sql, const db::Params& params) {
  const auto done = database_->write<std::int64_t>([&](db::Transaction& t) { return t.execute(sql, params); });
  if (!done) throw std::runtime_error(done.error().detail);
  return *done;
}

}  // namespace ee::testing
