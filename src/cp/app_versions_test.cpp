// Versions of apps through HTTP: publishing, measuring here, yanking (03 sections 7.1 to 7.4).
#include <gmock/gmock.h>

#include "cp/catalogue_fixture.h"
#include "tests/standins/cosign/cosign.h"

namespace ee::testing {
namespace {

using standins::CosignScript;
using standins::Registry;
using ::testing::HasSubstr;

class AppVersionsTest : public CatalogueFixture {
 protected:
  AppVersionsTest() { EXPECT_EQ(create(owner.key, "shop").status, 201); }
};

TEST_F(AppVersionsTest, S03_VER_001_APublishedVersionIsMeasuredAndAttested) {
  const TestAnswer answer =
      publish("1.0", compose(), R"(,"source_commit":")" + std::string(40, 'a') + R"(","source_tag":
    "v1","ingress":[{"path_prefix":"/","port":8080}],"health_path":"/up")");
  ASSERT_EQ(answer.status, 202) << answer.body;
  EXPECT_EQ(text(body_of(answer), "status"), "pending");
  EXPECT_EQ(measure(), 1);
  const auto attested = version();
  EXPECT_EQ(text(attested, "status"), "attested");
  const std::string digest = Registry::digest_of(Registry::manifest_text("web one"));
  const auto& image = attested.at("images").at("web");
  EXPECT_EQ(text(image, "digest"), digest);
  EXPECT_EQ(text(image, "reference"), "registry.test/app/web:1.0");
  EXPECT_EQ(image.at("signature").at("verified"), false);
  EXPECT_THAT(boost::json::serialize(attested.at("warnings")), HasSubstr("web: cosign_missing"));
  EXPECT_THAT(text(attested.at("measurement"), "pinned_compose"), HasSubstr("registry.test/app/web@" + digest));
  EXPECT_EQ(text(attested, "compose"), compose());
  EXPECT_EQ(text(attested, "compose_hash"), text(attested.at("measurement"), "compose_hash"));
  EXPECT_THAT(cp.values<std::string>("SELECT resolved_compose FROM app_versions").front(),
              ::testing::AllOf(HasSubstr("registry.test/app/web@" + digest), HasSubstr("no-new-privileges")));
  EXPECT_EQ(body_of(cp.call("GET", "/api/v1/apps/shop")).at("latest_attested").at(""), "1.0");
  EXPECT_EQ(measure(), 0) << "once";
  EXPECT_EQ(audited("version_published"), 1);
  EXPECT_EQ(audited("version_attested"), 1);
  EXPECT_EQ(audited("signature_policy_decision"), 1);
}

TEST_F(AppVersionsTest, S03_VER_002_AVersionExistsOncePerNodeSize) {
  EXPECT_EQ(publish().status, 202);
  EXPECT_EQ(publish().code(), "version_exists");
  EXPECT_EQ(publish("1.0", compose(), R"(,"node_size":"tiny")").status, 202);
  EXPECT_EQ(publish("1.0", compose(), R"(,"node_size":"tiny")").code(), "version_exists");
  EXPECT_EQ(publish("1.0", compose(), R"(,"node_size":"huge")").code(), "unknown_node_size");
  EXPECT_EQ(measure(), 2);
  const auto both = body_of(cp.call("GET", "/api/v1/apps/shop/versions/1.0")).at("items").as_array();
  EXPECT_EQ(both.size(), 2U);
  const auto one = body_of(cp.call("GET", "/api/v1/apps/shop/versions/1.0?node_size=tiny")).at("items").as_array();
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(text(one.at(0), "node_size"), "tiny");
  EXPECT_EQ(cp.call("GET", "/api/v1/apps/shop/versions/1.0?node_size=llm").code(), "version_not_found");
  EXPECT_EQ(cp.call("GET", "/api/v1/apps/shop/versions/2.0").code(), "version_not_found");
}

TEST_F(AppVersionsTest, S03_VER_004_AMovedTagChangesNothing) {
  ASSERT_EQ(publish().status, 202);
  ASSERT_EQ(measure(), 1);
  const std::string before = cp.values<std::string>("SELECT resolved_compose FROM app_versions").front();
  registry.put_index("app/web", "1.0", "another");
  EXPECT_EQ(measure(), 0);
  EXPECT_EQ(text(version().at("images").at("web"), "digest"), Registry::digest_of(Registry::manifest_text("web one")));
  EXPECT_EQ(cp.values<std::string>("SELECT resolved_compose FROM app_versions").front(), before);
}

TEST_F(AppVersionsTest, S03_VER_005_WhatCannotBeAttestedIsRejectedWithItsCode) {
  const auto outcome = [&](const std::string& number, const std::string& text, const std::string& more = "") {
    const TestAnswer answer = publish(number, text, more);
    if (answer.status != 202) return answer.body;
    measure();
    return status(number) + " " + rejection(number);
  };
  const std::string wrong = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(outcome("1", compose(), R"(,"declared_digests":{"web":")" + wrong + "\"}"),
            "rejected declared_digest_mismatch");
  EXPECT_EQ(outcome("2", compose(), R"(,"declared_digests":{"other":")" + wrong + "\"}"),
            "rejected declared_digest_mismatch");
  const std::string right = Registry::digest_of(Registry::manifest_text("web one"));
  EXPECT_EQ(outcome("3", compose(), R"(,"declared_digests":{"web":")" + right + "\"}"), "attested ");
  EXPECT_EQ(outcome("4", compose("registry.test/app/web:9.9")), "rejected image_not_found");
  EXPECT_EQ(outcome("5", compose("registry.test/app/web@" + wrong)), "rejected image_not_found");
  registry.put("app/web", "arm", "application/vnd.oci.image.index.v1+json",
               R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})");
  EXPECT_EQ(outcome("6", compose("registry.test/app/web:arm")), "rejected platform_not_found");
  registry.require_token("robot", "hunter2");
  registry.set_realm("https://registry.test/token");
  EXPECT_EQ(outcome("7", compose()), "rejected registry_auth_failed");
  set("registry.credentials", json::quote(R"({"registry.test":{"username":"robot","password":"hunter2","accounts":[")" +
                                          stranger.id + R"("]}})"));
  EXPECT_EQ(outcome("8", compose()), "rejected registry_auth_failed") << "another account's credentials";
  set("registry.credentials",
      json::quote(R"({"registry.test":{"username":"robot","password":"hunter2","accounts":[")" + owner.id + R"("]}})"));
  EXPECT_EQ(outcome("9", compose()), "attested ");
  EXPECT_GE(audited("version_rejected"), 7);
}

TEST_F(AppVersionsTest, PublishingChecksFieldsAndComposeRules) {
  for (const char* number : {"", "latest", "-1", "1/2", "a b"})
    EXPECT_EQ(publish(number).code(), "invalid_request") << number;
  for (const std::string more :
       {R"(,"source_commit":"x")", R"(,"ingress":[{"path_prefix":"x","port":8080}])",
        R"(,"ingress":[{"path_prefix":"/..","port":8080}])", R"(,"ingress":[{"path_prefix":"/","port":0}])",
        R"(,"health_path":"x")", R"(,"declared_digests":{"web":"sha512:1"})", R"(,"other":1)"})
    EXPECT_EQ(publish("1.0", compose(), more).code(), "invalid_request") << more;
  EXPECT_EQ(publish("1.0", "services: [").code(), "compose_invalid");
  EXPECT_EQ(publish("1.0", "services: {web: {image: 'registry.test/app/web:1.0', privileged: true}}").code(),
            "compose_forbidden");
  EXPECT_EQ(publish("1.0", compose("REGISTRY/web")).code(), "compose_forbidden");
  EXPECT_EQ(publish("1.0", compose(), R"(,"ingress":[{"path_prefix":"/","port":9999}])").code(),
            "ingress_port_unpublished");
  set("registry.allowed_hosts", R"(["ghcr.io"])");
  EXPECT_EQ(publish().code(), "compose_forbidden");
  set("registry.allowed_hosts", "[]");
  EXPECT_EQ(as(stranger.key, "POST", "/api/v1/apps/shop/versions", publish_body("1.0", compose())).code(),
            "app_not_found");
  EXPECT_EQ(cp.admin("POST", "/api/v1/apps/shop/versions", publish_body("1.0", compose())).status, 202);
}

TEST_F(AppVersionsTest, PublishesAreLimitedPerApp) {
  cp.clock.set_auto_advance(false);
  std::string last;
  for (int i = 0; i < 25 && last != "rate_limited"; ++i)
    last = cp.call("POST", "/api/v1/apps/shop/versions", publish_body("0." + std::to_string(i), compose()),
                   {{"Authorization", "Bearer " + owner.key}})
               .code();
  EXPECT_EQ(last, "rate_limited");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM app_versions").front(), 20);
}

TEST_F(AppVersionsTest, S03_VER_006_AYankedVersionComesBack) {
  ASSERT_EQ(publish().status, 202);
  EXPECT_EQ(change("yank").code(), "invalid_version_transition") << "not attested yet";
  ASSERT_EQ(measure(), 1);
  EXPECT_EQ(as(stranger.key, "POST", "/api/v1/apps/shop/versions/1.0/yank", "{}").code(), "app_not_found");
  EXPECT_EQ(change("unyank").code(), "invalid_version_transition");
  EXPECT_EQ(change("yank", R"({"reason":"broken"})").status, 200);
  EXPECT_EQ(status(), "yanked");
  EXPECT_TRUE(body_of(cp.call("GET", "/api/v1/apps/shop")).at("latest_attested").as_object().empty());
  EXPECT_EQ(change("yank").code(), "invalid_version_transition");
  EXPECT_EQ(change("unyank").status, 200);
  EXPECT_EQ(status(), "attested");
  EXPECT_EQ(change("remeasure").code(), "invalid_version_transition");
  EXPECT_EQ(change("yank", "{}", "9.9").code(), "version_not_found");
  EXPECT_EQ(audited("version_yanked"), 1);
  EXPECT_EQ(audited("version_unyanked"), 1);
}

TEST_F(AppVersionsTest, S03_VER_007_AnAdministratorSetsAnMrtdAndNothingElse) {
  const std::string mrtd(96, 'a');
  const auto attest = [&](const std::string& body) {
    return cp.admin("POST", "/api/v1/apps/shop/versions/1.0/attest", body);
  };
  ASSERT_EQ(publish("1.0", compose("registry.test/app/web:9.9")).status, 202);
  EXPECT_EQ(attest(R"({"mrtd":")" + mrtd + R"(","reason":"r"})").code(), "invalid_version_transition");
  ASSERT_EQ(measure(), 1);
  ASSERT_EQ(status(), "rejected");
  EXPECT_EQ(attest(R"({"mrtd":")" + mrtd + R"(","reason":"r"})").code(), "invalid_version_transition");
  EXPECT_EQ(attest(R"({"reason":"r"})").code(), "invalid_version_transition");
  EXPECT_EQ(status(), "rejected");

  ASSERT_EQ(publish("1.0", compose(), R"(,"node_size":"tiny")").status, 202);
  ASSERT_EQ(measure(), 1);
  EXPECT_EQ(change("attest", R"({"reason":"r"})").code(), "admin_required");
  EXPECT_EQ(attest(R"({"node_size":"tiny","mrtd":"aa","reason":"r"})").code(), "invalid_request");
  EXPECT_EQ(attest(R"({"node_size":"tiny","mrtd":")" + mrtd + "\"}").code(), "invalid_request") << "a reason";
  const TestAnswer set_one = attest(R"({"node_size":"tiny","mrtd":")" + mrtd + R"(","reason":"r"})");
  EXPECT_EQ(set_one.status, 200) << set_one.body;
  EXPECT_EQ(text(body_of(set_one).at("items").at(0), "mrtd"), mrtd);
  EXPECT_EQ(attest(R"({"node_size":"tiny","mrtd":")" + std::string(96, 'b') + R"(","reason":"r"})").code(),
            "invalid_version_transition");
  EXPECT_EQ(audited("version_mrtd_set"), 1);
}

TEST_F(AppVersionsTest, ListsNewestFirstWithoutComposeTexts) {
  for (const char* number : {"1", "2", "3"}) ASSERT_EQ(publish(number).status, 202);
  const auto first = body_of(cp.call("GET", "/api/v1/apps/shop/versions?limit=2"));
  EXPECT_EQ(text(first.at("items").at(0), "version"), "3");
  EXPECT_TRUE(first.at("items").at(0).at("compose").is_null());
  const auto rest = body_of(cp.call("GET", "/api/v1/apps/shop/versions?limit=2&cursor=" + text(first, "next_cursor")));
  EXPECT_EQ(text(rest.at("items").at(0), "version"), "1");
  EXPECT_EQ(body_of(cp.call("GET", "/api/v1/apps/shop/versions?status=attested")).at("items").as_array().size(), 0U);
  EXPECT_EQ(cp.call("GET", "/api/v1/apps/shop/versions?status=good").code(), "invalid_request");
}

/// With a cosign that does as it is told.
class SignedVersionsTest : public CatalogueFixture {
 protected:
  explicit SignedVersionsTest(std::unique_ptr<CosignScript> made = std::make_unique<CosignScript>())
      : CatalogueFixture({{"COSIGN_BIN", made->binary()}}), script(std::move(made)) {}

  /// Publishes under the global `mode` and that of the app; what became of it.
  std::string outcome(const std::string& mode, const std::string& app_mode) {
    set("attestation.signature_mode", json::quote(mode));
    EXPECT_EQ(as(owner.key, "PATCH", "/api/v1/apps/shop",
                 R"({"signature_mode":)" + (app_mode.empty() ? "null" : json::quote(app_mode)) + "}")
                  .status,
              200);
    const std::string number = std::to_string(++published_);
    EXPECT_EQ(publish(number).status, 202);
    measure();
    const auto found = version(number);
    std::string out = text(found, "status") + " " + rejection(number);
    if (text(found, "status") == "attested")
      out += boost::json::serialize(found.at("images").at("web").at("signature").at("verified")) + " " +
             boost::json::serialize(found.at("warnings"));
    return out;
  }

  std::unique_ptr<CosignScript> script;

 private:
  int published_ = 0;
};

TEST_F(SignedVersionsTest, S03_VER_008_TheMatrixOfTheSignaturePolicy) {
  ASSERT_EQ(create(owner.key, "shop").status, 201);
  const std::string digest = registry.put_index("app/web", "1.0", "web one");
  const std::string good = CosignScript::verified(digest);

  script->say(good);
  EXPECT_EQ(outcome("strict", ""), "attested true []");
  EXPECT_EQ(outcome("warn", ""), "attested true []");
  EXPECT_EQ(outcome("disabled", ""), R"(attested null ["web: signature_check_disabled"])");
  script->say("exit 10");
  EXPECT_EQ(outcome("strict", ""), "rejected signature_missing");
  EXPECT_EQ(outcome("warn", ""), R"(attested false ["web: signature_missing"])");
  EXPECT_EQ(outcome("disabled", ""), R"(attested null ["web: signature_check_disabled"])");
  script->say("exit 12");
  EXPECT_EQ(outcome("strict", ""), "rejected signature_untrusted");
  EXPECT_EQ(outcome("warn", ""), R"(attested false ["web: signature_untrusted"])");

  EXPECT_EQ(outcome("warn", "strict"), "rejected signature_untrusted") << "an app may be stricter";
  EXPECT_EQ(outcome("disabled", "strict"), "rejected signature_untrusted");
  EXPECT_EQ(outcome("strict", "disabled"), "rejected signature_untrusted") << "and not looser";
  EXPECT_EQ(outcome("strict", "warn"), "rejected signature_untrusted");
  EXPECT_EQ(outcome("warn", "disabled"), R"(attested false ["web: signature_untrusted"])");
  EXPECT_EQ(cp.values<std::int64_t>(
                  "SELECT COUNT(*) FROM audit_log WHERE action='signature_policy_decision' AND result='refused'")
                .front(),
            6);
}

// covers: S03_VER_008
TEST_F(SignedVersionsTest, AnAppsSignerIsAskedForTogetherWithTheCommonOne) {
  ASSERT_EQ(create(owner.key, "shop", R"(,"source_repo":"octo-org/app.x")").status, 201);
  const std::string digest = registry.put_index("app/web", "1.0", "web one");
  script->say(CosignScript::verified(digest));
  EXPECT_EQ(outcome("strict", ""), "attested true []");
  auto calls = script->calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_THAT(calls.at(0), ::testing::Contains(HasSubstr("[^/]+/[^/]+")));
  EXPECT_THAT(calls.at(1),
              ::testing::Contains(R"((?i)^https://github\.com/octo-org/app\.x/\.github/workflows/[^@]+@refs/.*$)"));
  ASSERT_EQ(as(owner.key, "PATCH", "/api/v1/apps/shop",
               R"({"signer_identity_regexp":"^https://x/.*$","signer_issuer":"https://issuer.example"})")
                .status,
            200);
  EXPECT_EQ(outcome("strict", ""), "attested true []");
  calls = script->calls();
  ASSERT_EQ(calls.size(), 4U);
  EXPECT_THAT(calls.at(3), ::testing::IsSupersetOf({"^https://x/.*$", "https://issuer.example"}));
  // A rule that has become unusable rejects; nothing falls back to a weaker one.
  cp.execute("UPDATE apps SET signer_identity_regexp='^[$'");
  ASSERT_EQ(publish("9.0").status, 202);
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status("9.0") + " " + rejection("9.0"), "rejected policy_invalid");
}

}  // namespace
}  // namespace ee::testing
