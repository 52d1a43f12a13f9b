#include "cp/store/credential_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);
const AgentId kAgent("agent-1");
using Lookups = std::vector<std::string>;

CredentialRow credential(const std::string& name) {
  return {.id = "id-" + name,
          .agent_id = kAgent,
          .lookup = name,
          .secret_hash = "hash-" + name,
          .created_at = kNow,
          .expires_at = kNow + Seconds(30 * 86400)};
}

class CredentialStoreTest : public ::testing::Test {
 protected:
  template <class T>
  T write(const std::function<Result<T>(db::Transaction&)>& work) {
    auto done = database_->write<T>(work);
    if (!done) throw std::runtime_error(done.error().detail);
    return *done;
  }
  CredentialRow find(const std::string& lookup) {
    return database_->read<std::optional<CredentialRow>>([&](db::Transaction& tx) { return store_.find(tx, lookup); })
        .value()
        .value();
  }
  testing::TestDatabase database_;
  CredentialStore store_;
};

// covers: S02_AGT_CRED_001, S02_AGT_CRED_002, S02_AGT_CRED_005
TEST_F(CredentialStoreTest, RotationLeavesTwoUsableOnesAtMost) {
  write<Lookups>([&](db::Transaction& tx) { return store_.replace_all(tx, credential("a"), kNow); });
  EXPECT_EQ(write<Lookups>([&](db::Transaction& tx) { return store_.rotate(tx, credential("b"), kNow); }), Lookups{});
  EXPECT_TRUE(is_usable(find("a"), kNow + Seconds(599)));
  EXPECT_FALSE(is_usable(find("a"), kNow + Seconds(600)));
  EXPECT_TRUE(is_usable(find("b"), kNow));

  // The answer was lost: the agent rotates again, the one nobody knows retires, the older one is over at once.
  EXPECT_EQ(write<Lookups>([&](db::Transaction& tx) { return store_.rotate(tx, credential("c"), kNow + Seconds(60)); }),
            Lookups{"a"});
  EXPECT_FALSE(is_usable(find("a"), kNow + Seconds(61)));
  EXPECT_EQ(find("b").state, CredentialState::retiring);
  EXPECT_EQ(find("c").state, CredentialState::active);

  EXPECT_EQ(write<Lookups>([&](db::Transaction& tx) { return store_.revoke_retiring(tx, kAgent, kNow); }),
            Lookups{"b"});
  EXPECT_EQ(find("b").state, CredentialState::revoked);
}

TEST_F(CredentialStoreTest, RegistrationRevokesEverythingOlder) {
  write<Lookups>([&](db::Transaction& tx) { return store_.replace_all(tx, credential("a"), kNow); });
  write<Lookups>([&](db::Transaction& tx) { return store_.rotate(tx, credential("b"), kNow); });
  auto revoked = write<Lookups>([&](db::Transaction& tx) { return store_.replace_all(tx, credential("c"), kNow); });
  std::ranges::sort(revoked);
  EXPECT_EQ(revoked, (Lookups{"a", "b"}));
  EXPECT_EQ(database_.values<std::string>("SELECT lookup FROM agent_control_credentials WHERE state<>'revoked'"),
            Lookups{"c"});
}

TEST_F(CredentialStoreTest, ExpiryEndsAnActiveOne) {
  const auto row = credential("a");
  EXPECT_TRUE(is_usable(row, row.expires_at - Milliseconds(1)));
  EXPECT_FALSE(is_usable(row, row.expires_at));
}

TEST_F(CredentialStoreTest, UseIsNotedOnceADay) {
  write<Lookups>([&](db::Transaction& tx) { return store_.replace_all(tx, credential("a"), kNow); });
  const auto note = [&](UtcTime at) {
    write<std::int64_t>(
        [&](db::Transaction& tx) { return store_.note_uses(tx, {{.key_id = "a", .at = at, .client_address = {}}}); });
  };
  note(kNow);
  note(kNow + Seconds(3600));
  EXPECT_EQ(find("a").last_used_at, kNow);
  note(kNow + Seconds(86401));
  EXPECT_EQ(find("a").last_used_at, kNow + Seconds(86401));
}

TEST_F(CredentialStoreTest, RevokedOnesAreKeptSevenDays) {
  write<Lookups>([&](db::Transaction& tx) { return store_.replace_all(tx, credential("a"), kNow); });
  write<Lookups>([&](db::Transaction& tx) { return store_.revoke_all(tx, kAgent, kNow); });
  const auto purge = [&](UtcTime before) {
    return write<std::int64_t>([&](db::Transaction& tx) { return store_.purge_revoked(tx, before, 100); });
  };
  EXPECT_EQ(purge(kNow), 0);
  EXPECT_EQ(purge(kNow + Milliseconds(1)), 1);
}

}  // namespace
}  // namespace ee::cp
