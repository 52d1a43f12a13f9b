#include "db/postgres_listener.h"

#include <atomic>

#include "db/postgres_fixture.h"

namespace ee::db {
namespace {

using ee::testing::eventually;

class PostgresListenerTest : public postgres_test::PostgresTest {
 protected:
  std::unique_ptr<Subscription> listen(std::atomic<int>& heard) {
    auto made = database_->listen("news", [&heard] { ++heard; });
    EXPECT_TRUE(eventually([&] { return heard == 1; })) << "once for what came before";
    return made;
  }
  static Result<bool> announce(Database& from, const std::string& topic) {
    return from.write<bool>([&](Transaction& tx) -> Result<bool> {
      if (auto told = tx.announce(topic); !told) return std::unexpected(told.error());
      return true;
    });
  }
};

TEST_F(PostgresListenerTest, HearsWhatAnotherProcessCommits) {
  const auto other = open();
  std::atomic<int> heard = 0;
  const auto listening = listen(heard);
  for (int n = 2; n < 5; ++n) {
    ASSERT_TRUE(announce(*other, "news"));
    EXPECT_TRUE(eventually([&] { return heard == n; })) << heard;
  }
}

TEST_F(PostgresListenerTest, HearsNothingOfOtherTopicsNorOfWritesThatFailed) {
  std::atomic<int> heard = 0;
  const auto listening = listen(heard);
  ASSERT_TRUE(announce(*database_, "gossip"));
  const auto failed = database_->write<bool>([](Transaction& tx) -> Result<bool> {
    if (auto told = tx.announce("news"); !told) return std::unexpected(told.error());
    return fail(ErrorCode::in_use);
  });
  ASSERT_FALSE(failed);
  ASSERT_TRUE(announce(*database_, "news"));
  EXPECT_TRUE(eventually([&] { return heard > 1; }));
  EXPECT_EQ(heard, 2) << "the server sends what it was told in the order of the commits";
}

TEST_F(PostgresListenerTest, AnnouncesWhatItsGroupCommits) {
  std::atomic<int> heard = 0;
  const auto listening = listen(heard);
  const auto told = database_->write<bool>([&](Transaction& tx) -> Result<bool> {
    if (auto done = tx.announce("news"); !done) return std::unexpected(done.error());
    EXPECT_EQ(heard, 1) << "not before the COMMIT";
    return true;
  });
  ASSERT_TRUE(told);
  EXPECT_TRUE(eventually([&] { return heard == 2; }));
}

TEST_F(PostgresListenerTest, ALostConnectionIsMadeAgainAndWhatWasMissedIsToldOnce) {
  std::atomic<int> heard = 0;
  const auto listening = listen(heard);
  cut_connections();
  EXPECT_TRUE(eventually([&] { return heard == 2; })) << "something may have been announced meanwhile";
  ASSERT_TRUE(announce(*database_, "news"));
  EXPECT_TRUE(eventually([&] { return heard == 3; }));
}

TEST_F(PostgresListenerTest, AfterItsEndNothingIsHeard) {
  std::atomic<int> heard = 0;
  auto listening = listen(heard);
  listening.reset();
  ASSERT_TRUE(announce(*database_, "news"));
  std::atomic<int> another = 0;
  listening = listen(another);
  ASSERT_TRUE(announce(*database_, "news"));
  EXPECT_TRUE(eventually([&] { return another == 2; }));
  EXPECT_EQ(heard, 1);
}

TEST_F(PostgresListenerTest, OutlivesItsDatabaseAndEndsWithoutAServer) {
  std::atomic<int> heard = 0;
  auto listening = listen(heard);
  database_.reset();
  server().drop_database(name_);  // its connection with it
  listening.reset();
  EXPECT_EQ(heard, 1);
}

}  // namespace
}  // namespace ee::db
