#include "tests/support/test_database.h"

#include <stdexcept>

#include "common/random.h"
#include "cp/store/schema.h"

namespace ee::testing {

namespace {

std::unique_ptr<db::SqliteDatabase> open(const db::SqliteOptions& options, const Clock& clock) {
  auto opened = db::SqliteDatabase::open(options, clock);
  if (!opened) throw std::runtime_error(opened.error().code + ": " + opened.error().detail);
  return std::move(*opened);
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
    SystemRandom random;
    const auto database = open(options, clock);
    const auto ready = cp::prepare_schema(*database, test_identity(), clock, random);
    if (!ready) throw std::runtime_error(ready.error().code + ": " + ready.error().detail);
    return options.path;
  }();
  return file;
}

}  // namespace

db::DatabaseIdentity test_identity() { return {.env = "dev", .cluster_id = "test", .app_version = "0.0.0-test"}; }

TestDatabase::TestDatabase(db::SqliteOptions options, const Clock* clock)
    : options_(std::move(options)), clock_(clock != nullptr ? *clock : system_clock_) {
  options_.path = path();
  options_.durable = false;
  options_.strict = false;
  std::filesystem::copy_file(template_file(), options_.path);
  std::filesystem::permissions(options_.path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  database_ = open(options_, clock_);
}

void TestDatabase::restart() {
  database_.reset();
  database_ = open(options_, clock_);
}

std::int64_t TestDatabase::execute(std::string_view sql, const db::Params& params) {
  const auto done = database_->write<std::int64_t>([&](db::Transaction& t) { return t.execute(sql, params); });
  if (!done) throw std::runtime_error(done.error().detail);
  return *done;
}

}  // namespace ee::testing
