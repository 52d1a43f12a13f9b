// Revenue shares through HTTP, and what charging sees of them (03 section 8).
#include <gmock/gmock.h>

#include <thread>

#include "cp/catalogue_fixture.h"
#include "cp/service/revenue_shares.h"

namespace ee::testing {
namespace {

/// The clock begins at 2026-01-01T00:00.
class RevenueSharesTest : public CatalogueFixture {
 protected:
  static constexpr const char* kShares = "/api/v1/apps/shop/revenue-shares";

  RevenueSharesTest() {
    EXPECT_EQ(create(owner.key, "shop").status, 201);
    cp.clock.set_utc(at("2026-01-01T10:20:00Z"));
    app_id = cp.values<std::string>("SELECT id FROM apps").front();
  }
  static UtcTime at(const char* time) { return parse_rfc3339(time).value(); }
  static std::string share(const Made& account, int bps) {
    return R"({"account_id":")" + account.id + R"(","share_bps":)" + std::to_string(bps) + "}";
  }
  TestAnswer put(const std::string& shares, int expected, const std::string& more = "", const std::string& token = "") {
    return as(token.empty() ? owner.key : token, "PUT", kShares,
              R"({"shares":[)" + shares + R"(],"expected_set_version":)" + std::to_string(expected) + more + "}");
  }
  /// `account bps` of what charging would pay at a time.
  std::vector<std::string> paid(const char* time) {
    cp::RevenueShares source({.database = cp.app().database(), .clock = cp.clock, .random = cp.random});
    const auto found = cp.app().database().read<std::map<std::string, cp::ShareSet>>(
        [&](db::Transaction& tx) { return source.shares_at(tx, {"other", app_id}, at(time)); });
    std::vector<std::string> out;
    if (const auto set = found->find(app_id); set != found->end())
      for (const cp::Share& one : set->second)
        out.push_back((one.account.str() == alice.id ? "alice " : "bob ") + std::to_string(one.bps));
    return out;
  }

  const Made alice = make("alice", "contributor");
  const Made bob = make("bob", "agent");
  const Made launcher = make("launch", "launcher");
  std::string app_id;
};

TEST_F(RevenueSharesTest, S03_REV_001_AListHasBounds) {
  const TestAnswer all = put(share(alice, 10000), 0);
  EXPECT_EQ(all.status, 200) << all.body;
  EXPECT_EQ(all.header("ETag"), "\"1\"");
  EXPECT_EQ(put(share(alice, 5001) + "," + share(bob, 5000), 1).code(), "share_total_exceeded");
  EXPECT_THAT(put(share(alice, 5001) + "," + share(bob, 5000), 1).body, ::testing::HasSubstr("10001"));
  EXPECT_EQ(put("", 1).status, 200) << "nobody";
  EXPECT_EQ(put(share(alice, 1) + "," + share(alice, 1), 2).code(), "share_duplicate_account");
  EXPECT_EQ(put(share({.id = "01900000-0000-7000-8000-00000000ffff", .key = "", .key_id = ""}, 1), 2).code(),
            "unknown_account");
  EXPECT_EQ(put(share({.id = "00000000-0000-7000-8000-000000000001", .key = "", .key_id = ""}, 1), 2).code(),
            "unknown_account")
      << "the system's";
  EXPECT_EQ(put(share(launcher, 1), 2).code(), "unknown_account");
  EXPECT_EQ(put(share(alice, 0), 2).code(), "invalid_request");
  EXPECT_EQ(put(share(alice, 10001), 2).code(), "invalid_request");
  EXPECT_EQ(put(share(alice, 1), 1).code(), "share_conflict") << "somebody was quicker";
  EXPECT_EQ(audited("shares_changed"), 2);
}

TEST_F(RevenueSharesTest, S03_REV_002_OfTwoAtOnceOneWins) {
  std::vector<std::string> codes(2);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        net::Request request;
        request.method = "POST";
        request.path = kShares;
        request.headers = {{"Authorization", "Bearer " + owner.key}, {"Content-Type", "application/json"}};
        request.body = share(i == 0 ? alice : bob, 6000);
        request.client_address = "192.0.2.1";
        request.request_id = "r";
        const net::Response response = cp.app().call(std::move(request));
        codes[i] = TestAnswer{.status = response.status, .body = response.body, .headers = {}}.code();
      });
  }
  std::ranges::sort(codes);
  EXPECT_EQ(codes[0], "");
  EXPECT_THAT(codes[1], ::testing::AnyOf("share_conflict", "share_total_exceeded"));
  EXPECT_EQ(cp.values<std::int64_t>("SELECT SUM(share_bps) FROM app_revenue_shares").front(), 6000);
}

// covers: S03_REV_005
TEST_F(RevenueSharesTest, S03_REV_003_AListCountsFromAFullHourOn) {
  cp.clock.set_utc(at("2026-01-01T09:30:00Z"));
  ASSERT_EQ(put(share(alice, 7000) + "," + share(bob, 3000), 0).status, 200);
  cp.clock.set_utc(at("2026-01-01T11:20:00Z"));
  ASSERT_EQ(put(share(alice, 5000), 1).status, 200);
  const auto both = ::testing::ElementsAre("alice 7000", "bob 3000");
  EXPECT_THAT(paid("2026-01-01T09:59:59.999Z"), ::testing::ElementsAre());
  EXPECT_THAT(paid("2026-01-01T10:00:00Z"), both);
  EXPECT_THAT(paid("2026-01-01T11:00:00Z"), both);
  EXPECT_THAT(paid("2026-01-01T11:59:59.999Z"), both);
  EXPECT_THAT(paid("2026-01-01T12:00:00Z"), ::testing::ElementsAre("alice 5000"));
  // A late charge of a past hour, after further changes: as it was.
  cp.clock.set_utc(at("2026-01-01T15:20:00Z"));
  ASSERT_EQ(put("", 2).status, 200);
  EXPECT_THAT(paid("2026-01-01T11:00:00Z"), both);
  EXPECT_THAT(paid("2026-01-01T16:00:00Z"), ::testing::ElementsAre());
}

TEST_F(RevenueSharesTest, S03_REV_004_AListBeginsLaterAtAFullHour) {
  const auto from = [&](const char* time, int expected) {
    return put(share(alice, 100), expected, std::string(R"(,"effective_at":")") + time + "\"");
  };
  EXPECT_EQ(from("2026-01-01T09:00:00Z", 0).code(), "share_effective_in_past");
  EXPECT_EQ(from("2026-01-01T10:00:00Z", 0).code(), "share_effective_in_past");
  const TestAnswer rounded = from("2026-01-01T12:00:00.001Z", 0);
  ASSERT_EQ(rounded.status, 200) << rounded.body;
  EXPECT_EQ(text(body_of(rounded), "effective_at"), "2026-01-01T13:00:00.000Z");
  EXPECT_EQ(from("2027-01-02T10:00:00Z", 1).code(), "invalid_request") << "366 days";
  cp.clock.set_utc(at("2026-01-01T11:00:00Z"));
  EXPECT_EQ(from("2026-01-01T11:00:00Z", 1).code(), "share_effective_in_past") << "the hour has begun";
  // A newer list that begins earlier takes the place of one that was to come.
  ASSERT_EQ(put(share(bob, 200), 1, R"(,"effective_at":"2026-01-01T12:00:00Z")").status, 200);
  EXPECT_THAT(paid("2026-01-01T13:00:00Z"), ::testing::ElementsAre("bob 200"));
  const auto shown = body_of(as(owner.key, "GET", kShares));
  EXPECT_EQ(shown.at("set_version"), 0);
  ASSERT_EQ(shown.at("pending").as_array().size(), 1U);
  EXPECT_EQ(shown.at("pending").at(0).at("set_version"), 2);
}

TEST_F(RevenueSharesTest, S03_REV_006_OwnersAndAdministratorsEdit) {
  EXPECT_EQ(put(share(alice, 100), 0).status, 200);
  EXPECT_EQ(put(share(alice, 100), 1, "", stranger.key).code(), "app_not_found");
  EXPECT_EQ(put(share(alice, 100), 1, "", alice.key).code(), "app_not_found") << "who gets money does not say how much";
  EXPECT_EQ(as(cp.admin_token(), "PUT", kShares, R"({"shares":[],"expected_set_version":1})").status, 200);
  EXPECT_EQ(as(stranger.key, "GET", kShares).code(), "app_not_found");
  EXPECT_EQ(cp.call("GET", kShares).code(), "unauthenticated");
}

TEST_F(RevenueSharesTest, MembersSeeTheirList) {
  ASSERT_EQ(put(share(alice, 2500), 0).status, 200);
  EXPECT_EQ(as(alice.key, "GET", kShares).status, 200) << "pending";
  EXPECT_EQ(as(bob.key, "GET", kShares).code(), "app_not_found");
  cp.clock.set_utc(at("2026-01-01T11:00:00Z"));
  const auto shown = body_of(as(alice.key, "GET", kShares));
  EXPECT_EQ(shown.at("total_bps"), 2500);
  EXPECT_EQ(shown.at("unassigned_bps"), 7500);
  EXPECT_EQ(text(shown.at("shares").at(0), "account_name"), "alice");
  EXPECT_EQ(body_of(as(owner.key, "GET", std::string(kShares) + "?at=2026-01-01T10:00:00Z")).at("set_version"), 0);
  EXPECT_EQ(as(owner.key, "GET", std::string(kShares) + "?at=now").code(), "invalid_request");
}

TEST_F(RevenueSharesTest, WhoHadAShareOnceSeesNothingOfWhatCameLater) {
  ASSERT_EQ(put(share(alice, 2500), 0).status, 200);
  cp.clock.set_utc(at("2026-01-01T11:30:00Z"));
  ASSERT_EQ(put(share(bob, 100), 1).status, 200);
  const std::string then = std::string(kShares) + "?at=2026-01-01T11:00:00Z";
  EXPECT_EQ(body_of(as(alice.key, "GET", then)).at("pending").as_array().size(), 1U)
      << "alice is in the live list still";
  cp.clock.set_utc(at("2026-01-01T12:30:00Z"));
  ASSERT_EQ(put(share(bob, 200), 2).status, 200);
  const TestAnswer past = as(alice.key, "GET", then);
  ASSERT_EQ(past.status, 200) << past.body;
  EXPECT_EQ(body_of(past).at("total_bps"), 2500);
  EXPECT_TRUE(body_of(past).at("pending").as_array().empty()) << past.body;
  EXPECT_EQ(as(alice.key, "GET", kShares).code(), "app_not_found");
  EXPECT_EQ(as(bob.key, "GET", then).status, 200) << "who has one now may look back";
}

TEST_F(RevenueSharesTest, OneShareIsAddedOrTakenAway) {
  ASSERT_EQ(as(owner.key, "POST", kShares, share(alice, 2500)).status, 200);
  const TestAnswer two = as(owner.key, "POST", kShares, share(bob, 1000));
  ASSERT_EQ(two.status, 200) << two.body;
  EXPECT_EQ(body_of(two).at("set_version"), 2);
  EXPECT_EQ(body_of(two).at("total_bps"), 3500);
  EXPECT_EQ(as(owner.key, "POST", kShares, share(bob, 1)).code(), "share_duplicate_account");
  const std::string id = text(body_of(two).at("shares").at(0), "id");
  EXPECT_EQ(as(owner.key, "DELETE", std::string(kShares) + "/nothing").code(), "not_found");
  const TestAnswer less = as(owner.key, "DELETE", std::string(kShares) + "/" + id);
  ASSERT_EQ(less.status, 200) << less.body;
  EXPECT_EQ(body_of(less).at("total_bps"), 1000);
  EXPECT_EQ(as(owner.key, "DELETE", std::string(kShares) + "/" + id).code(), "not_found") << "of an older list";
}

// covers: S04_ACC_006 (shares)
TEST_F(RevenueSharesTest, AnAccountWithASharesStaysOpen) {
  ASSERT_EQ(put(share(alice, 2500), 0).status, 200);
  EXPECT_EQ(as(alice.key, "DELETE", alice.path()).code(), "account_in_shares") << "pending";
  cp.clock.set_utc(at("2026-01-01T11:30:00Z"));
  EXPECT_EQ(as(alice.key, "DELETE", alice.path()).code(), "account_in_shares") << "in force";
  ASSERT_EQ(put("", 1).status, 200);
  EXPECT_EQ(as(alice.key, "DELETE", alice.path()).code(), "account_in_shares") << "until the next hour";
  cp.clock.set_utc(at("2026-01-01T12:00:00Z"));
  cp.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour)", {{"hour", at("2026-01-01T11:00:00Z")}});
  EXPECT_EQ(as(alice.key, "DELETE", alice.path()).code(), "account_in_shares")
      << "its last hour is still to be charged";
  cp.execute("UPDATE billing_meta SET next_hour_at=:hour", {{"hour", at("2026-01-01T12:00:00Z")}});
  const TestAnswer closed = as(alice.key, "DELETE", alice.path());
  EXPECT_EQ(closed.status, 204) << closed.body;
}

// covers: S04_ACC_006 (shares)
TEST_F(RevenueSharesTest, AnAccountThatARetryWouldPayStaysOpen) {
  ASSERT_EQ(put(share(alice, 2500), 0).status, 200);  // from 11:00 on
  ASSERT_EQ(put(share(bob, 2500), 1, R"(,"effective_at":"2026-01-01T13:00:00Z")").status, 200);
  cp.clock.set_utc(at("2026-01-01T14:30:00Z"));
  ASSERT_EQ(put("", 2).status, 200);  // nobody from 15:00 on
  cp.clock.set_utc(at("2026-01-01T20:30:00Z"));
  cp.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour)", {{"hour", at("2026-01-01T20:00:00Z")}});
  cp.execute(
      "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, app_id, vcpus, memory_mib, "
      "gpu_count, sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, to_at, "
      "charged_to_at, settled) VALUES ('s', 'd', 1, :owner, 'agent', :app, 4, 4096, 0, 'adhoc', 'gcp:a', 180000, 1, "
      "7000, 5000, :from, :to, :from, 2)",
      {{"owner", owner.id}, {"app", app_id}, {"from", at("2026-01-01T12:20:00Z")}, {"to", at("2026-01-01T16:00:00Z")}});
  const auto refused = [&](const Made& account) { return as(account.key, "DELETE", account.path()).code(); };
  const auto charged_to = [&](const char* time) {
    cp.execute("UPDATE deployment_segments SET charged_to_at=:time", {{"time", at(time)}});
  };
  EXPECT_EQ(refused(alice), "account_in_shares") << "its list was in force in the hour of 12:20";
  EXPECT_EQ(refused(bob), "account_in_shares") << "and its own in an hour after that";
  cp.execute("UPDATE deployment_segments SET to_at=:to", {{"to", at("2026-01-01T13:00:00Z")}});
  EXPECT_EQ(refused(bob), "") << "the segment ended before";
  EXPECT_EQ(refused(alice), "account_in_shares");
  cp.execute("UPDATE deployment_segments SET to_at=:to", {{"to", at("2026-01-01T16:00:00Z")}});
  charged_to("2026-01-01T13:00:00Z");
  EXPECT_EQ(refused(alice), "") << "what is charged is paid";
}

}  // namespace
}  // namespace ee::testing
