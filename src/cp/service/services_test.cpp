#include "cp/service/services.h"

#include <gtest/gtest.h>

#include "common/argon2.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

struct ServicesTest : ::testing::Test {
  FakeClock clock;
  FakeRandom random;
  testing::TestDatabase database{{}, &clock};
  AccountId owner = testing::add_test_account(database, 1);
  AccountId stranger = testing::add_test_account(database, 2);
  std::vector<std::string> revoked;
  Services services{{.database = database,
                     .clock = clock,
                     .random = random,
                     .routes_changed = {},
                     .token_revoked = [this](std::string_view id) { revoked.emplace_back(id); }}};
  const Actor actor{.name = "test"};

  void add(const std::string& id, const std::string& name, const AccountId& account) {
    database.execute(
        "INSERT INTO services (id, name, account_id, created_at, updated_at) VALUES (:id, :name, :account, 1, 1)",
        {{"id", id}, {"name", name}, {"account", account}});
  }
  static Principal of(const AccountId& account) {
    return {.kind = PrincipalKind::account, .account_id = account, .key_id = "k"};
  }
  static Principal admin() { return {.kind = PrincipalKind::session, .is_admin = true}; }
  std::int64_t epoch() { return database.value<std::int64_t>("SELECT epoch FROM route_epoch"); }
};

TEST_F(ServicesTest, AreSeenByTheirOwnersAndAdministrators) {
  add("s1", "one", owner);
  add("s2", "two", stranger);
  const auto names = [&](const Principal& principal) {
    std::string all;
    const auto page = services.list(principal, {});
    for (const ListedServiceRow& row : page->items) all += row.name + " ";
    return all;
  };
  EXPECT_EQ(names(of(owner)), "one ");
  EXPECT_EQ(names(admin()), "one two ");
  EXPECT_EQ(names(Principal{.kind = PrincipalKind::session}), "");
  EXPECT_TRUE(services.get(of(owner), "one"));
  EXPECT_EQ(services.get(of(stranger), "one").error().code, ErrorCode::service_not_found);
  EXPECT_EQ(services.get(of(owner), "none").error().code, ErrorCode::service_not_found);
  const auto first = services.list(admin(), {.limit = 1});
  ASSERT_TRUE(first && first->next);
  EXPECT_EQ(services.list(admin(), {.limit = 1, .after = first->next})->items.at(0).name, "two");
}

TEST_F(ServicesTest, ChangesMoveTheRoutesAndAreAudited) {
  add("s1", "one", owner);
  const std::int64_t before = epoch();
  const auto changed = services.update(of(owner), actor, "one",
                                       {.access = ServiceAccess::public_, .settings = ServiceOverrides{.rps = 7}});
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->access, ServiceAccess::public_);
  EXPECT_NE(changed->settings.find("\"rps\":7"), std::string::npos);
  EXPECT_GT(epoch(), before);
  EXPECT_FALSE(services.update(of(stranger), actor, "one", {.access = ServiceAccess::public_}));
  EXPECT_EQ(database.value<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action='service_access_changed'"), 1);
}

TEST_F(ServicesTest, CorsNamesOriginsExactly) {
  add("s1", "one", owner);
  const auto set = [&](const ServiceCors& cors) {
    const auto done = services.update(of(owner), actor, "one", {.settings = ServiceOverrides{.cors = cors}});
    return done ? "" : done.error().fields.at(0).field;
  };
  EXPECT_EQ(set({.origins = {"https://app.example", "http://localhost:5173"}, .methods = {{"GET"}}}), "");
  EXPECT_NE(services.get(of(owner), "one")->settings.find("http://localhost:5173"), std::string::npos);
  EXPECT_EQ(set({.origins = {"*"}}), "");
  for (const char* origin : {"app.example", "https://", "https://a/", "https://a b", "https://A", "null", "ftp://a"})
    EXPECT_EQ(set({.origins = {origin}}), "settings.cors.origins") << origin;
  EXPECT_EQ(set({.origins = {"*"}, .credentials = true}), "settings.cors.origins");
  EXPECT_EQ(set({.origins = {"*", "https://a"}}), "settings.cors.origins");
  EXPECT_EQ(set({.origins = {"https://a"}, .methods = {{"TRACE"}}}), "settings.cors.methods");
  EXPECT_EQ(set({.origins = {"https://a"}, .headers = {{"a\r\nb"}}}), "settings.cors.headers");
}

TEST_F(ServicesTest, EndOnlyWhenNothingRuns) {
  add("s1", "one", owner);
  const auto token = services.add_token(of(owner), actor, "one", "ci", std::nullopt);
  ASSERT_TRUE(token);
  database.execute(
      "INSERT INTO deployments (id, group_id, account_id, service_id, state, current_revision, target_revision,"
      " auth_method, node_size, datacenter_policy, created_at, updated_at)"
      " VALUES ('d1', 'd1', :account, 's1', 'pending', 1, 1, 'api_key', 'tiny', '{}', 0, 0)",
      {{"account", owner}});
  EXPECT_EQ(services.remove(of(owner), actor, "one").error().code, ErrorCode::service_in_use);
  database.execute("UPDATE deployments SET state='failed', ended_at=1");
  EXPECT_TRUE(services.remove(of(owner), actor, "one"));
  EXPECT_EQ(revoked, std::vector<std::string>{token->row.id});
  EXPECT_EQ(services.get(of(owner), "one").error().code, ErrorCode::service_not_found);
}

// covers: S03_SVC_002 (shown once)
TEST_F(ServicesTest, TokensAreShownOnceBoundedAndRevoked) {
  add("s1", "one", owner);
  const auto made = services.add_token(of(owner), actor, "one", "ci", 3600);
  ASSERT_TRUE(made);
  EXPECT_EQ(verify_hash(made->row.secret_hash, made->text), HashMatch::match);
  EXPECT_EQ(database.value<std::int64_t>("SELECT COUNT(*) FROM service_tokens WHERE secret_hash LIKE '%" +
                                         std::string(made->text.reveal()) + "%'"),
            0);
  EXPECT_EQ(services.tokens(of(owner), "one")->size(), 1U);
  EXPECT_EQ(services.revoke_token(of(stranger), actor, "one", made->row.id).error().code, ErrorCode::service_not_found);
  EXPECT_TRUE(services.revoke_token(of(owner), actor, "one", made->row.id));
  EXPECT_EQ(revoked.size(), 1U);
  EXPECT_EQ(services.revoke_token(of(owner), actor, "one", made->row.id).error().code, ErrorCode::not_found);
  EXPECT_EQ(services.add_token(of(owner), actor, "one", "", {}).error().code, ErrorCode::invalid_request);
  EXPECT_EQ(services.add_token(of(owner), actor, "one", "x", 1).error().code, ErrorCode::invalid_request);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(services.add_token(of(owner), actor, "one", "x", {})) << i;
  EXPECT_EQ(services.add_token(of(owner), actor, "one", "x", {}).error().code, ErrorCode::too_many_keys);
}

}  // namespace
}  // namespace ee::cp
