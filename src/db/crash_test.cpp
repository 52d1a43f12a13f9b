// What an acknowledged write is worth: the process is killed, or the disk refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "common/clock.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace ee::db {
namespace {

std::unique_ptr<SqliteDatabase> open_at(const std::filesystem::path& path, const Clock& clock) {
  SqliteOptions options;
  options.path = path;
  options.strict = false;
  auto opened = SqliteDatabase::open(options, clock);
  if (!opened) throw std::runtime_error(opened.error().code + ": " + opened.error().detail);
  return std::move(*opened);
}

Result<std::int64_t> insert(SqliteDatabase& database, std::int64_t id) {
  return database.write<std::int64_t>([&](Transaction& t) {
    return t.execute("INSERT INTO storm (id, payload) VALUES (:id, :payload)",
                     {{"id", id}, {"payload", std::string(200, 'x')}});
  });
}

constexpr std::int64_t kWriters = 4;
constexpr std::int64_t kPerWriter = 1'000'000;

/// The child: writes without end and tells each acknowledged id through the pipe. Never returns.
[[noreturn]] void write_storm(const std::filesystem::path& path, int pipe) {
  const SystemClock clock;
  const auto database = open_at(path, clock);
  std::vector<std::thread> writers;
  for (std::int64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (std::int64_t i = 0; i < kPerWriter; ++i) {
        const std::int64_t id = writer * kPerWriter + i;
        // A short write to a pipe is whole or nothing.
        if (!insert(*database, id) || ::write(pipe, &id, sizeof id) != sizeof id) ::_exit(1);
      }
    });
  }
  for (auto& writer : writers) writer.join();
  ::_exit(0);
}

/// Reads acknowledged ids until there are `enough`; false when the child ended before.
bool gather(int pipe, std::size_t enough, std::set<std::int64_t>& acknowledged) {
  std::int64_t id = 0;
  while (acknowledged.size() < enough) {
    if (::read(pipe, &id, sizeof id) != sizeof id) return false;
    acknowledged.insert(id);
  }
  return true;
}

// covers: S05_DB_06
TEST(Crash, KillNineInAWriteStormKeepsEveryAcknowledgedWrite) {
  const testing::TempDir dir;
  const auto path = dir / "storm.db";
  const SystemClock clock;
  {
    const auto database = open_at(path, clock);
    ASSERT_TRUE(database->write<std::int64_t>(
        [](Transaction& t) { return t.execute("CREATE TABLE storm (id BIGINT PRIMARY KEY, payload TEXT NOT NULL)"); }));
  }
  std::set<std::int64_t> acknowledged;
  for (const std::size_t enough :
       {50U, 400U, 1500U}) {  // killed at three moments, each time over the last one's remains
    int pipe[2] = {};
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      write_storm(path, pipe[1]);
    }
    ::close(pipe[1]);
    std::set<std::int64_t> round;
    const bool gathered = gather(pipe[0], enough, round);
    ::kill(child, SIGKILL);
    std::int64_t id = 0;  // acknowledged before it died, still in the pipe
    while (::read(pipe[0], &id, sizeof id) == sizeof id) round.insert(id);
    ::close(pipe[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(gathered);
    ASSERT_TRUE(WIFSIGNALED(status));

    const auto database = open_at(path, clock);  // the dead process's lock does not stay
    const auto stored = database->read<std::vector<std::int64_t>>(
        [](Transaction& t) { return t.query<std::int64_t>("SELECT id FROM storm"); });
    ASSERT_TRUE(stored);
    const std::set<std::int64_t> on_disk(stored->begin(), stored->end());
    for (const std::int64_t told : round) EXPECT_TRUE(on_disk.contains(told)) << told;
    const auto findings = database->check({});
    ASSERT_TRUE(findings);
    EXPECT_THAT(*findings, ::testing::IsEmpty());
    ASSERT_TRUE(database->write<std::int64_t>([](Transaction& t) { return t.execute("DELETE FROM storm"); }));
  }
}

/// Files may not grow past `bytes` while it lives: writes fail as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    old_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limited{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, old_);
  }

 private:
  rlimit before_ = {};
  void (*old_)(int) = nullptr;
};

// covers: S05_DB_05
TEST(Crash, WhenTheFileCannotGrowNothingIsReportedDoneAndWritesWorkAgainAfterwards) {
  const testing::TempDir dir;
  const auto path = dir / "full.db";
  const SystemClock clock;
  const auto database = open_at(path, clock);
  ASSERT_TRUE(database->write<std::int64_t>(
      [](Transaction& t) { return t.execute("CREATE TABLE storm (id BIGINT PRIMARY KEY, payload TEXT NOT NULL)"); }));
  std::int64_t stored = 0;
  {
    const FileSizeLimit limit(static_cast<rlim_t>(database->wal_bytes()) + 100'000);
    Result<std::int64_t> last = insert(*database, stored);
    for (; last; last = insert(*database, stored)) ++stored;
    EXPECT_EQ(last.error().code, ErrorCode::database_unavailable);
    EXPECT_TRUE(database->health().last_failed);
    EXPECT_FALSE(insert(*database, stored));
  }
  EXPECT_GT(stored, 1);
  const auto rows = database->read<std::optional<std::int64_t>>(
      [](Transaction& t) { return t.query_one<std::int64_t>("SELECT count(*) FROM storm"); });
  ASSERT_TRUE(rows);
  EXPECT_EQ(**rows, stored);
  EXPECT_TRUE(insert(*database, stored));
  EXPECT_FALSE(database->health().last_failed);
}

// covers: S05_DB_02
TEST(Crash, ASecondProcessIsRefused) {
  const testing::TempDir dir;
  const auto path = dir / "one.db";
  const SystemClock clock;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Forked before the parent opens: waits for it by the file it makes.
    while (!std::filesystem::exists(dir / "opened")) std::this_thread::yield();
    SqliteOptions options;
    options.path = path;
    options.strict = false;
    const auto second = SqliteDatabase::open(options, clock);
    ::_exit(!second && second.error().code == "database_in_use" ? 7 : 1);
  }
  const auto database = open_at(path, clock);
  std::filesystem::create_directory(dir / "opened");
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

}  // namespace
}  // namespace ee::db
