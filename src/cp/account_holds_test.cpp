// Accounts beside services that hold something of them.
#include "common/metrics.h"
#include "cp/account_fixture.h"
#include "cp/service/account_identities.h"
#include "cp/service/accounts.h"

namespace ee::testing {
namespace {

class FakeHolds final : public cp::AccountHolds {
 public:
  Result<bool> has_deployments(db::Transaction& /*tx*/, const AccountId& /*account*/) override { return deployments; }
  Result<bool> has_shares(db::Transaction& /*tx*/, const AccountId& /*account*/) override { return shares; }
  Result<bool> owner_in_use(db::Transaction& /*tx*/, std::int64_t /*github_id*/) override { return owner; }
  Result<std::int64_t> stop_deployments(db::Transaction& /*tx*/, const AccountId& account, std::string_view reason,
                                        UtcTime /*now*/) override {
    stopped.push_back(account.str() + " " + std::string(reason));
    return 2;
  }
  bool deployments = false;
  bool shares = false;
  bool owner = false;
  std::vector<std::string> stopped;
};

class AccountHoldsTest : public AccountFixture {
 protected:
  cp::AccountCall call() const {
    return {.principal = admin_, .actor = {"admin:s", "r", "192.0.2.1"}, .account = account_};
  }
  template <class T>
  static std::string code(const Result<T>& result) {
    return result ? "ok" : std::string(slug(result.error().code));
  }

  const cp::Principal admin_ = {.kind = cp::PrincipalKind::session, .is_admin = true};
  const Made made_ = make("acme");
  const AccountId account_{made_.id};
  FakeHolds holds_;
  metrics::Registry metrics_;
  std::unique_ptr<CredentialCache> cache_ = CredentialCache::create(1024, Milliseconds(5000), cp.random);
  cp::Authenticator authenticator_{cp.app().database(), *cache_, cp.clock, [] { return cp::AuthSettings(); }, metrics_};
  cp::Accounts accounts_{{.database = cp.app().database(),
                          .authenticator = authenticator_,
                          .clock = cp.clock,
                          .random = cp.random,
                          .holds = holds_,
                          .signup_mode = [] { return cp::SignupMode::closed; }}};
  cp::AccountIdentities identities_{
      {.database = cp.app().database(), .clock = cp.clock, .random = cp.random, .holds = holds_}};
};

// covers: S04_ACC_006 (deployments, shares)
TEST_F(AccountHoldsTest, DeploymentsAndSharesKeepAnAccountOpen) {
  holds_.deployments = true;
  EXPECT_EQ(code(accounts_.close(call())), "account_has_deployments");
  holds_.deployments = false;
  holds_.shares = true;
  EXPECT_EQ(code(accounts_.close(call())), "account_in_shares");
  EXPECT_EQ(as(made_.key, "GET", made_.path()).status, 200) << "nothing of it was done";
  holds_.shares = false;
  EXPECT_EQ(code(accounts_.close(call())), "ok");
}

// covers: S04_ACC_011 (deployments)
TEST_F(AccountHoldsTest, AnOwnerThatADeploymentNamesStays) {
  const cp::IdentityWanted wanted{.github_id = 7, .kind = cp::IdentityKind::user, .login = "ada", .reason = "known"};
  ASSERT_EQ(code(identities_.link(call(), wanted)), "ok");
  holds_.owner = true;
  EXPECT_EQ(code(identities_.unlink(call(), 7)), "identity_in_use");
  EXPECT_EQ(identities_.list(account_)->size(), 1U);
  holds_.owner = false;
  EXPECT_EQ(code(identities_.unlink(call(), 7)), "ok");
}

TEST_F(AccountHoldsTest, AtMostTwentyOwners) {
  for (int i = 1; i <= 20; ++i)
    ASSERT_EQ(
        code(identities_.link(
            call(), {.github_id = i, .kind = cp::IdentityKind::org, .login = "o" + std::to_string(i), .reason = "r"})),
        "ok");
  EXPECT_EQ(
      code(identities_.link(call(), {.github_id = 21, .kind = cp::IdentityKind::org, .login = "o21", .reason = "r"})),
      "invalid_request");
}

// covers: S04_ACC_012 (deployments)
TEST_F(AccountHoldsTest, ASuspensionStopsDeploymentsOnlyWhenAsked) {
  ASSERT_EQ(code(accounts_.suspend(call(), "abuse", false)), "ok");
  EXPECT_TRUE(holds_.stopped.empty());
  ASSERT_EQ(code(accounts_.suspend(call(), "abuse", true)), "ok");
  EXPECT_EQ(holds_.stopped, std::vector<std::string>{made_.id + " account_suspended"});
}

}  // namespace
}  // namespace ee::testing
