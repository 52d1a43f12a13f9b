// Apps of the catalogue through HTTP (03 section 7.1).
#include <gmock/gmock.h>

#include "cp/catalogue_fixture.h"

namespace ee::testing {
namespace {

class AppsTest : public CatalogueFixture {
 protected:
  std::vector<std::string> names(const std::string& token, const std::string& query = "") {
    const TestAnswer found =
        token.empty() ? cp.call("GET", "/api/v1/apps" + query) : as(token, "GET", "/api/v1/apps" + query);
    std::vector<std::string> out;
    if (found.status != 200) return {found.code()};
    for (const auto& item : body_of(found).at("items").as_array()) out.push_back(text(item, "name"));
    return out;
  }
};

TEST_F(AppsTest, S03_APP_001_ANameIsGivenOnce) {
  const TestAnswer made = create(owner.key, "shop",
                                 R"(,"description":"d","tags":["web","demo"],"maintainers":["Ada"],
                                                     "source_repo":"Octo-Org/App","signature_mode":"strict"})");
  EXPECT_EQ(made.status, 400) << "not JSON";
  const TestAnswer good = create(owner.key, "shop", R"(,"description":"d","tags":["web","demo"],"maintainers":["Ada"],
                                                     "source_repo":"Octo-Org/App","signature_mode":"strict")");
  ASSERT_EQ(good.status, 201) << good.body;
  EXPECT_EQ(good.header("Location"), "/api/v1/apps/shop");
  EXPECT_EQ(text(body_of(good), "source_repo"), "octo-org/app");
  EXPECT_EQ(text(body_of(good), "owner_account_id"), owner.id);
  EXPECT_EQ(create(owner.key, "shop").code(), "app_exists");
  EXPECT_EQ(create(stranger.key, "shop").code(), "app_exists");
  const TestAnswer archived = as(owner.key, "DELETE", "/api/v1/apps/shop");
  EXPECT_EQ(archived.status, 200) << archived.body;
  EXPECT_EQ(as(owner.key, "DELETE", "/api/v1/apps/shop").status, 200) << "archived already";
  EXPECT_EQ(create(owner.key, "shop").code(), "app_exists");
  EXPECT_EQ(cp.call("GET", "/api/v1/apps/shop").code(), "app_not_found");
  EXPECT_EQ(as(owner.key, "GET", "/api/v1/apps/shop").status, 200);
  EXPECT_EQ(publish().code(), "app_not_found");
  EXPECT_EQ(as(owner.key, "PATCH", "/api/v1/apps/shop", "{}").code(), "app_not_found");
  EXPECT_EQ(audited("app_created"), 1);
  EXPECT_EQ(audited("app_archived"), 1);
}

TEST_F(AppsTest, S03_APP_002_APrivateAppLooksAbsentToOthers) {
  ASSERT_EQ(create(owner.key, "secret", R"(,"visibility":"private")").status, 201);
  ASSERT_EQ(create(owner.key, "open").status, 201);
  EXPECT_THAT(names(""), ::testing::ElementsAre("open"));
  EXPECT_THAT(names(stranger.key), ::testing::ElementsAre("open"));
  EXPECT_THAT(names(owner.key), ::testing::ElementsAre("secret", "open"));
  EXPECT_EQ(body_of(cp.admin("GET", "/api/v1/apps")).at("items").as_array().size(), 2U);
  for (const std::string path : {"/api/v1/apps/secret", "/api/v1/apps/secret/versions",
                                 "/api/v1/apps/secret/versions/1.0", "/api/v1/apps/secret/revenue-shares"}) {
    EXPECT_EQ(as(stranger.key, "GET", path).code(), "app_not_found") << path;
    const TestAnswer unknown = as(stranger.key, "GET", "/api/v1/apps/absent" + path.substr(19));
    EXPECT_EQ(unknown.code(), "app_not_found") << "the same as for one that is not there";
  }
  EXPECT_EQ(create(stranger.key, "secret").code(), "app_exists");
  EXPECT_EQ(as(owner.key, "GET", "/api/v1/apps/secret").status, 200);
}

TEST_F(AppsTest, S03_APP_003_AnAppInUseIsNotArchived) {
  ASSERT_EQ(create(owner.key, "shop").status, 201);
  const std::string app = cp.values<std::string>("SELECT id FROM apps").front();
  cp.execute("INSERT INTO services (id, name, account_id, created_at, updated_at) VALUES ('s', 'shop', :account, 0, 0)",
             {{"account", owner.id}});
  cp.execute(
      "INSERT INTO deployments (id, group_id, account_id, service_id, state, current_revision, target_revision,"
      " auth_method, node_size, datacenter_policy, created_at, updated_at) VALUES"
      " ('d', 'g', :account, 's', 'pending', 2, 2, 'api_key', 'tiny', '{}', 0, 0)",
      {{"account", owner.id}});
  const auto revision = [&](int number, const std::string& of) {
    cp.execute(
        "INSERT INTO deployment_revisions (deployment_id, revision, app_id, compose_sha256, resolved_compose,"
        " compose_hash, workload_hash, images, ingress, env, health_path, deploy_timeout_seconds, created_by,"
        " created_at, outcome) VALUES ('d', :revision, :app, '', '', '', '', '{}', '[]', '{}', '', 900, 'x', 0,"
        " 'active')",
        {{"revision", number}, {"app", of}});
  };
  revision(1, app);
  EXPECT_EQ(as(owner.key, "DELETE", "/api/v1/apps/shop").status, 200) << "only an old revision was of the app";
  cp.execute("UPDATE apps SET archived_at=NULL");
  revision(2, app);
  EXPECT_EQ(as(owner.key, "DELETE", "/api/v1/apps/shop").code(), "app_in_use");
  cp.execute("UPDATE deployments SET state='stopped', ended_at=1");
  EXPECT_EQ(as(owner.key, "DELETE", "/api/v1/apps/shop").status, 200);
}

TEST_F(AppsTest, ListsByNameTagOwnerAndDescription) {
  ASSERT_EQ(create(owner.key, "shop-a", R"(,"tags":["web","demo"],"description":"100% cotton_shirts")").status, 201);
  ASSERT_EQ(create(owner.key, "shop-b", R"(,"tags":["web"])").status, 201);
  ASSERT_EQ(create(stranger.key, "tool", R"(,"tags":["demo"])").status, 201);
  EXPECT_THAT(names("", "?name=shop"), ::testing::ElementsAre("shop-a", "shop-b"));
  EXPECT_THAT(names("", "?tag=web"), ::testing::ElementsAre("shop-a", "shop-b"));
  EXPECT_THAT(names("", "?tag=web&tag=demo"), ::testing::ElementsAre("shop-a"));
  EXPECT_THAT(names("", "?tag=other"), ::testing::ElementsAre());
  EXPECT_THAT(names("", "?owner_account_id=" + stranger.id), ::testing::ElementsAre("tool"));
  EXPECT_THAT(names("", "?tag=Web"), ::testing::ElementsAre("invalid_request"));
  EXPECT_THAT(names("", "?other=1"), ::testing::ElementsAre("invalid_request"));
  EXPECT_THAT(names(owner.key, "?q=cotton"), ::testing::ElementsAre("admin_required"));
  EXPECT_EQ(body_of(cp.admin("GET", "/api/v1/apps?q=100%25%20cotton_")).at("items").as_array().size(), 1U);
  EXPECT_EQ(body_of(cp.admin("GET", "/api/v1/apps?q=100_")).at("items").as_array().size(), 0U)
      << "what stands for anything in SQL stands for itself";
  const auto first = body_of(cp.call("GET", "/api/v1/apps?limit=2"));
  const auto rest = body_of(cp.call("GET", "/api/v1/apps?limit=2&cursor=" + text(first, "next_cursor")));
  EXPECT_EQ(text(rest.at("items").at(0), "name"), "tool");
  EXPECT_TRUE(rest.at("next_cursor").is_null());
}

TEST_F(AppsTest, ChecksItsFields) {
  for (const std::string& more :
       {R"(,"description":")" + std::string(2001, 'a') + "\"", std::string(R"(,"source_repo":"no-slash")"),
        std::string(R"(,"source_repo":"../x")"), std::string(R"(,"maintainers":["-x"])"),
        std::string(R"(,"tags":["Upper"])"), std::string(R"(,"tags":["a","a"])"),
        std::string(R"(,"visibility":"some")"), std::string(R"(,"signature_mode":"off")"),
        std::string(R"(,"signer_identity_regexp":"x")"), std::string(R"(,"signer_identity_regexp":"^(?=x)$")"),
        std::string(R"(,"signer_identity_regexp":"^(a)\\1$")"), std::string(R"(,"signer_identity_regexp":"^[$")"),
        std::string(R"(,"signer_issuer":"http://x.example")"), std::string(R"(,"unknown":1)")})
    EXPECT_EQ(create(owner.key, "shop", more).code(), "invalid_request") << more;
  for (const char* name : {"Shop", "-shop", "", "a.b", "../x"})
    EXPECT_EQ(create(owner.key, name).code(), "invalid_request") << name;
  EXPECT_EQ(create(make("nodes", "agent").key, "shop").code(), "account_type_not_allowed");
  EXPECT_EQ(cp.admin("POST", "/api/v1/apps", R"({"name":"shop"})").code(), "account_type_not_allowed");
  EXPECT_EQ(cp.call("POST", "/api/v1/apps", R"({"name":"shop"})").code(), "unauthenticated");
  EXPECT_EQ(create(make("writer", "contributor").key, "shop").status, 201);
}

TEST_F(AppsTest, ChangesWhatIsGiven) {
  ASSERT_EQ(create(owner.key, "shop", R"(,"tags":["web"],"signature_mode":"strict")").status, 201);
  EXPECT_EQ(as(stranger.key, "PATCH", "/api/v1/apps/shop", "{}").code(), "app_not_found");
  const TestAnswer changed =
      as(owner.key, "PATCH", "/api/v1/apps/shop", R"({"description":"new","tags":["demo"],"signature_mode":null})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  const auto app = body_of(changed);
  EXPECT_EQ(text(app, "description"), "new");
  EXPECT_TRUE(app.at("signature_mode").is_null());
  EXPECT_THAT(names("", "?tag=demo"), ::testing::ElementsAre("shop"));
  EXPECT_THAT(names("", "?tag=web"), ::testing::ElementsAre());
  EXPECT_EQ(as(owner.key, "PATCH", "/api/v1/apps/shop", R"({"name":"x"})").code(), "invalid_request");
  EXPECT_EQ(cp.admin("PATCH", "/api/v1/apps/shop", R"({"visibility":"private"})").status, 200);
  EXPECT_EQ(audited("app_updated"), 2);
}

}  // namespace
}  // namespace ee::testing
