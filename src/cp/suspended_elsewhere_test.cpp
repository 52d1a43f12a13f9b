// An account that another replica suspends while this one still believes its credentials: reads go on for a moment,
// changes do not.
#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

class SuspendedElsewhere : public DeploymentFixture {
 protected:
  /// As another replica does: nothing tells this one, whose cache has verified the key just now.
  void set_status(const std::string& status) {
    cp.execute("UPDATE accounts SET status=:status WHERE id=:id", {{"status", status}, {"id", account.id}});
  }
  /// Not a moment passes, so that the credential stays cached.
  TestAnswer now(const std::string& method, const std::string& path, const std::string& body = "") {
    return cp.call(method, path, body, {{"Authorization", "Bearer " + account.key}});
  }
};

TEST_F(SuspendedElsewhere, ChangesNothingThatIsItsOwn) {
  agents.add().join();
  agents.add().join();
  const std::string id = deploy_one();
  ASSERT_EQ(as(account.key, "POST", "/api/v1/apps", R"({"name":"shop"})").status, 201);
  const Made second = new_key(account, account.key, R"({"name":"second"})");
  ASSERT_EQ(now("GET", account.path()).status, 200);
  struct Case {
    const char* method;
    std::string path;
    std::string body;
  };
  const std::string deployment = "/api/v1/deployments/" + id;
  const std::string service = "/api/v1/services/web";
  const std::vector<Case> changes = {
      {"PATCH", deployment, R"({"ttl_seconds":3600})"},
      {"POST", deployment + "/stop", "{}"},
      {"POST", deployment + "/redeploy", "{}"},
      {"POST", "/api/v1/deploy", raw("", "other")},
      {"PATCH", service, R"({"access":"token"})"},
      {"POST", service + "/tokens", R"({"label":"x"})"},
      {"DELETE", service, ""},
      {"POST", "/api/v1/apps", R"({"name":"other"})"},
      {"PATCH", "/api/v1/apps/shop", R"({"description":"x"})"},
      {"DELETE", "/api/v1/apps/shop", ""},
      {"PUT", "/api/v1/apps/shop/revenue-shares", R"({"shares":[],"expected_set_version":0})"},
      {"PATCH", account.path(), R"({"description":"x"})"},
      {"DELETE", account.path(), ""},
      {"POST", account.keys(), R"({"name":"third"})"},
      {"POST", account.keys() + "/" + second.key_id + "/rotate", "{}"},
      {"DELETE", account.keys() + "/" + second.key_id, ""},
      {"PUT", account.path() + "/oidc-rules", R"({"policy":"off","rules":[]})"},
      {"POST", "/api/v1/me/agents/enrollment-tokens", R"({"max_agents":1,"ttl_seconds":3600})"}};
  for (const Case& change : changes) {
    ASSERT_EQ(now("GET", account.path()).status, 200);
    set_status("suspended");
    const TestAnswer answer = now(change.method, change.path, change.body);
    EXPECT_EQ(answer.code(), "account_suspended") << change.method << " " << change.path << ": " << answer.body;
    EXPECT_EQ(now("GET", account.path()).status, 200) << "the key is still believed";
    set_status("active");
    cp.clock.advance(Seconds(2));  // its rate limit
  }
  EXPECT_EQ(state(id), "assigned");
  // What belongs to a suspended account is an administrator's to change.
  set_status("suspended");
  EXPECT_EQ(cp.admin("POST", deployment + "/stop", "{}").status, 202);
}

}  // namespace
}  // namespace ee::testing
