#include "cp/store/session_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

SessionRow session(const std::string& name, UtcTime created_at = kNow, const std::string& identity = "password") {
  return {.id = SessionId(name),
          .lookup = "lookup-" + name,
          .secret_hash = "hash-" + name,
          .auth_method = identity == "password" ? AuthMethod::password : AuthMethod::github_oauth,
          .identity = identity,
          .ip = "192.0.2.1",
          .user_agent = "test",
          .created_at = created_at,
          .expires_at = created_at + Seconds(86400),
          .last_used_at = created_at};
}

std::vector<std::string> texts(const std::vector<SessionId>& ids) {
  std::vector<std::string> out;
  for (const SessionId& id : ids) out.push_back(id.str());
  std::ranges::sort(out);
  return out;
}
using Texts = std::vector<std::string>;

class SessionStoreTest : public ::testing::Test {
 protected:
  template <class T>
  T write(const std::function<Result<T>(db::Transaction&)>& work) {
    auto done = database_->write<T>(work);
    if (!done) throw std::runtime_error(done.error().detail);
    if constexpr (!std::is_void_v<T>) return std::move(*done);
  }
  void insert(const SessionRow& row) {
    write<int>([&](db::Transaction& tx) -> Result<int> {
      if (auto done = store_.insert(tx, row); !done) return std::unexpected(done.error());
      return 0;
    });
  }
  SessionRow find(const std::string& id) {
    return database_
        ->read<std::optional<SessionRow>>([&](db::Transaction& tx) { return store_.find(tx, SessionId(id)); })
        .value()
        .value();
  }
  std::vector<SessionId> live(const std::string& identity, UtcTime now) {
    std::vector<SessionId> ids;
    const auto rows = database_->read<std::vector<SessionRow>>(
        [&](db::Transaction& tx) { return store_.live_of(tx, identity, now); });
    for (const SessionRow& row : rows.value()) ids.push_back(row.id);
    return ids;
  }
  using Ids = std::vector<SessionId>;

  testing::TestDatabase database_;
  SessionStore store_;
};

TEST_F(SessionStoreTest, KeepsEveryColumn) {
  SessionRow row = session("a", kNow, "github:7");
  row.github_id = 7;
  row.github_login = "octo";
  row.github_orgs = "[]";
  row.avatar_url = "https://example/a.png";
  insert(row);
  const SessionRow found = find("a");
  EXPECT_EQ(found.lookup, "lookup-a");
  EXPECT_EQ(found.secret_hash, "hash-a");
  EXPECT_EQ(found.auth_method, AuthMethod::github_oauth);
  EXPECT_EQ(found.identity, "github:7");
  EXPECT_EQ(found.github_id, 7);
  EXPECT_EQ(found.github_login, "octo");
  EXPECT_EQ(found.expires_at, kNow + Seconds(86400));
  EXPECT_FALSE(found.revoked_at);
  const auto by_lookup = database_->read<std::optional<SessionRow>>(
      [&](db::Transaction& tx) { return store_.find_by_lookup(tx, "lookup-a"); });
  ASSERT_TRUE(by_lookup.value());
  EXPECT_EQ((*by_lookup)->id, SessionId("a"));
  const auto nobody = database_->read<std::optional<SessionRow>>(
      [&](db::Transaction& tx) { return store_.find_by_lookup(tx, "lookup-b"); });
  EXPECT_FALSE(nobody.value());
}

TEST_F(SessionStoreTest, RevokesOneOnce) {
  insert(session("a"));
  EXPECT_EQ(texts(write<Ids>([&](db::Transaction& tx) { return store_.revoke(tx, SessionId("a"), "logout", kNow); })),
            Texts{"a"});
  EXPECT_EQ(find("a").revoked_at, kNow);
  EXPECT_EQ(find("a").revoked_reason, "logout");
  EXPECT_TRUE(write<Ids>([&](db::Transaction& tx) {
                return store_.revoke(tx, SessionId("a"), "again", kNow + Seconds(1));
              }).empty());
  EXPECT_EQ(find("a").revoked_reason, "logout");
}

TEST_F(SessionStoreTest, RevokesByIdentityAndMethod) {
  insert(session("a"));
  insert(session("b"));
  insert(session("c", kNow, "github:7"));
  insert(session("d", kNow, "github:8"));
  EXPECT_EQ(
      texts(write<Ids>([&](db::Transaction& tx) { return store_.revoke_identity(tx, "github:7", "logout", kNow); })),
      Texts{"c"});
  EXPECT_EQ(texts(write<Ids>([&](db::Transaction& tx) {
              return store_.revoke_method(tx, AuthMethod::password, "password_changed", kNow);
            })),
            (Texts{"a", "b"}));
  EXPECT_FALSE(find("d").revoked_at);
}

TEST_F(SessionStoreTest, KeepsTheLatestOfAnIdentity) {
  for (int i = 0; i < 12; ++i) insert(session("s" + std::to_string(100 + i), kNow + Seconds(i)));
  insert(session("other", kNow, "github:7"));
  insert(session("over", kNow - Seconds(86400)));  // no longer lives, so it does not count
  EXPECT_EQ(texts(write<Ids>(
                [&](db::Transaction& tx) { return store_.revoke_oldest(tx, "password", 10, kNow + Seconds(20)); })),
            (Texts{"s100", "s101"}));
  EXPECT_EQ(find("s100").revoked_reason, "session_limit");
  EXPECT_EQ(live("password", kNow + Seconds(20)).size(), 10U);
  EXPECT_EQ(live("password", kNow + Seconds(20)).front(), SessionId("s111"));
}

TEST_F(SessionStoreTest, NotesUsesOnceAMinute) {
  insert(session("a"));
  const auto use = [&](UtcTime now) {
    write<int>([&](db::Transaction& tx) -> Result<int> {
      if (auto done = store_.note_use(tx, SessionId("a"), now); !done) return std::unexpected(done.error());
      return 0;
    });
    return find("a").last_used_at;
  };
  EXPECT_EQ(use(kNow + Milliseconds(59'999)), kNow);
  EXPECT_EQ(use(kNow + Seconds(60)), kNow + Seconds(60));
  EXPECT_EQ(use(kNow + Seconds(119)), kNow + Seconds(60));
}

TEST_F(SessionStoreTest, CleansUpWhatIsOver) {
  insert(session("lives"));
  insert(session("over", kNow - Seconds(86400)));
  insert(session("revoked_long_ago"));
  insert(session("revoked_lately"));
  write<Ids>([&](db::Transaction& tx) {
    return store_.revoke(tx, SessionId("revoked_long_ago"), "x", kNow - SessionStore::kKeepRevoked);
  });
  write<Ids>([&](db::Transaction& tx) { return store_.revoke(tx, SessionId("revoked_lately"), "x", kNow); });
  const auto clean = [&](std::int64_t limit) {
    return write<std::int64_t>([&](db::Transaction& tx) { return store_.remove_ended(tx, kNow, limit); });
  };
  EXPECT_EQ(clean(1), 1);
  EXPECT_EQ(clean(100), 1);
  EXPECT_EQ(clean(100), 0);
  EXPECT_EQ(database_.values<std::string>("SELECT id FROM admin_sessions ORDER BY id"),
            (Texts{"lives", "revoked_lately"}));
}

}  // namespace
}  // namespace ee::cp
