#include "cp/service/proxy_access.h"

#include <gtest/gtest.h>

#include "cp/service/authenticator_fixture.h"
#include "cp/store/service_token_store.h"
#include "tests/support/test_accounts.h"

namespace ee::cp {
namespace {

constexpr std::string_view kService = "0190a000-0000-7000-8000-00000000005e";

class ProxyAccessTest : public auth_tests::AuthenticatorTest {
 protected:
  ProxyAccessTest() {
    service_.id = kService;
    service_.name = "web";
    service_.account_id = testing::add_test_account(plain_, 1);
    service_.access = ServiceAccess::token;
    plain_.execute(
        "INSERT INTO services (id, name, account_id, access, created_at, updated_at) VALUES (:id, 'web', :account, "
        "'token', 0, 0)",
        {{"id", kService}, {"account", service_.account_id}});
    const auto credential = new_credential(CredentialKind::svc, random_).value();
    const ServiceTokenRow row{.id = "0190a000-0000-7000-8000-0000000000aa",
                              .service_id = std::string(kService),
                              .label = "test",
                              .lookup = credential.lookup,
                              .secret_hash = hash_token(credential.text, random_).value(),
                              .created_at = clock_.now()};
    EXPECT_TRUE(plain_->run_write([&](db::Transaction& tx) { return ServiceTokenStore().insert(tx, row); }));
    sent_ = {.ee_authorization = "Bearer " + credential.text.reveal(),
             .ee_authorization_count = 1,
             .client_address = "192.0.2.1"};
  }
  bool is_remembered() {
    const auto known = access_.check_fast(service_, sent_);
    return known && *known;
  }

  ProxyAccess access_{database_, *cache_, authenticator_, clock_};
  ServiceRoute service_;
  ProxyCredentials sent_;
};

// covers: S03_SVC_002
TEST_F(ProxyAccessTest, ATokenThatAnotherReplicaRevokedIsKnownForFiveSecondsAtMost) {
  database_.after_read = [&] {
    // Between the read of the row and what follows it: somebody revokes it elsewhere, and much time passes.
    plain_.execute("UPDATE service_tokens SET revoked_at=1");
    clock_.advance(Seconds(4));
  };
  ASSERT_TRUE(access_.check(service_, sent_)) << "it was good when it was read";
  database_.after_read = {};
  EXPECT_TRUE(is_remembered());
  pass(Seconds(1));
  EXPECT_FALSE(is_remembered()) << "five seconds since it was asked about";
  const auto refused = access_.check(service_, sent_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::proxy_auth_required);
}

}  // namespace
}  // namespace ee::cp
