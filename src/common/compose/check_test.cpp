#include "common/compose/compose.h"

#include <gtest/gtest.h>

#include "tests/support/compose_cases.h"

namespace ee::compose {
namespace {

using testing::breaches_of;
using testing::Case;
using testing::kImage;
using testing::options;
using testing::service_file;

void judge(const std::vector<Case>& cases) {
  for (const Case& item : cases) {
    const auto checked = check(item.text, options());
    if (item.breaches.empty()) {
      EXPECT_TRUE(checked) << item.text << (checked ? "" : checked.error().detail)
                           << ::testing::PrintToString(checked ? std::vector<std::string>()
                                                               : breaches_of(checked.error()));
      continue;
    }
    ASSERT_FALSE(checked) << item.text;
    EXPECT_EQ(checked.error().code, ErrorCode::compose_forbidden) << item.text << checked.error().detail;
    EXPECT_EQ(breaches_of(checked.error()), item.breaches) << item.text;
  }
}

// covers: S03_CMP_001..040
TEST(Compose, RefusesEachKeyThatIsNotAllowed) { judge(testing::refused_key_cases()); }
TEST(Compose, JudgesWhatAProcessMayAskFor) { judge(testing::process_cases()); }
TEST(Compose, JudgesLimitsAgainstTheirBoundsAndTheNode) { judge(testing::limit_cases()); }
TEST(Compose, JudgesVolumes) { judge(testing::storage_cases()); }
TEST(Compose, JudgesPortsAndNetworks) { judge(testing::network_cases()); }
TEST(Compose, JudgesNamesAndReferences) { judge(testing::name_cases()); }
TEST(Compose, JudgesTheExpandedTree) { judge(testing::expansion_cases()); }

TEST(Compose, ReadsWhatAServiceAsksFor) {
  const auto checked = check(service_file("command: sh -c 'echo $$A', environment: {A: 1.50, B: }, "
                                          "ports: ['8080:80'], cpus: 0.25, mem_limit: 64m, stop_grace_period: 1500ms, "
                                          "networks: {front: {aliases: [x]}, back: }, volumes: ['data:/d:ro'], "
                                          "healthcheck: {test: [CMD, a], interval: 1m}"),
                             options());
  ASSERT_TRUE(checked);
  const Service& web = checked->services.at(0);
  EXPECT_EQ(web.image.pinned(), "docker.io/library/" + kImage);
  EXPECT_EQ(web.command, (std::vector<std::string>{"sh", "-c", "echo $A"}));
  EXPECT_EQ(web.environment.at(0).value, "1.5");
  EXPECT_EQ(web.environment.at(1).value, std::nullopt);
  EXPECT_EQ(web.injected_env, (std::vector<std::string>{"B"}));
  EXPECT_EQ(web.ports, (std::vector<Port>{{8080, 80}}));
  EXPECT_EQ(web.nano_cpus, 250'000'000);
  EXPECT_EQ(web.memory_bytes, 64 << 20);
  EXPECT_EQ(web.stop_grace_seconds, 2);
  EXPECT_EQ(web.networks.at(0).network, "back");
  EXPECT_EQ(web.networks.at(1).aliases, (std::vector<std::string>{"x"}));
  EXPECT_TRUE(web.volumes.at(0).read_only);
  EXPECT_EQ(web.healthcheck->interval_ns, 60'000'000'000);
  EXPECT_EQ(checked->published, (std::vector<Port>{{8080, 80}}));
  EXPECT_EQ(checked->needs.memory_mib, 64);
  EXPECT_EQ(checked->networks.size(), 3u);
  EXPECT_EQ(checked->networks.front().name, "default");
}

TEST(Compose, KeepsServicesInTheOrderOfTheFile) {
  const auto checked = check("services: {b: {image: '" + kImage + "'}, a: {image: '" + kImage + "'}}", options());

  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->services.at(0).name, "b");
  EXPECT_NE(checked->find("a"), nullptr);
  EXPECT_EQ(checked->find("c"), nullptr);
}

TEST(Compose, TagsAreAllowedWhereDigestsAreNotRequired) {
  CheckOptions lax = options();
  lax.require_digests = false;

  const auto checked = check("services: {web: {image: nginx}}", lax);

  ASSERT_TRUE(checked);
  EXPECT_TRUE(checked->services.at(0).image.implicit_latest);
  EXPECT_EQ(own_digests(*checked), std::nullopt);
}

TEST(Compose, AllowsOnlyListedRegistriesWhenThereIsAList) {
  CheckOptions limited = options();
  limited.allowed_registries = {"ghcr.io", "registry-1.docker.io"};
  const auto with = [&](std::string_view host) {
    return check("services: {web: {image: '" + std::string(host) + "a/b@" + testing::kDigest + "'}}", limited);
  };

  EXPECT_TRUE(with("ghcr.io/"));
  EXPECT_TRUE(with(""));
  for (const char* host : {"quay.io/", "ghcr.io:5000/", "ghcr.io.evil.example/"}) {
    const auto refused = with(host);
    ASSERT_FALSE(refused) << host;
    EXPECT_EQ(breaches_of(refused.error()), std::vector<std::string>{"services.web.image registry_not_allowed"});
  }
}

TEST(Compose, ReservedPortsAreTheOperators) {
  CheckOptions own = options();
  own.reserved_ports = {5000};

  EXPECT_FALSE(check(service_file("ports: ['5000:80']"), own));
  EXPECT_TRUE(check(service_file("ports: ['8088:80']"), own));
}

TEST(Compose, ListsABoundedNumberOfBreaches) {
  std::string keys;
  for (int i = 0; i < 1000; ++i) keys += (i == 0 ? "k" : ", k") + std::to_string(i) + ": x";

  const auto refused = check(service_file(keys), options());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fields.size(), kMaxBreaches);
  EXPECT_NE(refused.error().detail.find("744 more"), std::string::npos) << refused.error().detail;
}

TEST(Compose, LongKeysAreCutInPaths) {
  const auto refused = check(service_file(std::string(300, 'k') + ": x"), options());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fields.at(0).field, "compose.services.web." + std::string(64, 'k'));
}

// ---- what the request gives ----------------------------------------------------------------------------------------

CheckOptions with_request(RequestNames names) {
  CheckOptions out = options();
  out.request = std::move(names);
  return out;
}

std::string two_services(std::string_view a, std::string_view b) {
  return "services: {a: {image: '" + kImage + "', " + std::string(a) + "}, b: {image: '" + kImage + "', " +
         std::string(b) + "}}";
}

TEST(ComposeRequest, S03_CMP_042_a_single_service_takes_everything) {
  const auto checked = check(service_file("environment: {A: own}, secrets: [cert]"),
                             with_request({.env = {"B", "A"}, .env_secrets = {"TOKEN"}, .file_secrets = {"cert"}}));

  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->services.at(0).injected_env, (std::vector<std::string>{"A", "B", "TOKEN"}));
  EXPECT_EQ(checked->services.at(0).file_secrets, std::vector<std::string>{"cert"});
}

TEST(ComposeRequest, S03_CMP_042_of_several_services_each_takes_what_it_lists_without_a_value) {
  const auto checked = check(two_services("environment: {A: , B: own}", "environment: [B, TOKEN]"),
                             with_request({.env = {"A", "B"}, .env_secrets = {"TOKEN"}}));

  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->services.at(0).injected_env, std::vector<std::string>{"A"});
  EXPECT_EQ(checked->services.at(1).injected_env, (std::vector<std::string>{"B", "TOKEN"}));
}

TEST(ComposeRequest, S03_CMP_042_a_name_without_a_value_anywhere_is_unset) {
  const auto refused = check(two_services("environment: {A: }", "environment: [B, cert]"),
                             with_request({.env = {"B"}, .file_secrets = {"cert"}}));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::compose_forbidden);
  EXPECT_EQ(breaches_of(refused.error()),
            (std::vector<std::string>{"services.a.environment.A env_unset", "services.b.environment[1] env_unset"}));
}

TEST(ComposeRequest, S03_CMP_042_a_name_that_no_service_takes_is_unused) {
  const auto several = check(two_services("environment: {A: x}", "read_only: true"),
                             with_request({.env = {"A"}, .env_secrets = {"TOKEN"}, .file_secrets = {"cert"}}));
  ASSERT_FALSE(several);
  EXPECT_EQ(several.error().code, ErrorCode::env_unused);
  EXPECT_EQ(breaches_of(several.error()),
            (std::vector<std::string>{"env.A env_unused", "secrets.TOKEN env_unused", "secrets.cert env_unused"}));

  const auto single = check(service_file(""), with_request({.env = {"A"}, .file_secrets = {"cert"}}));
  ASSERT_FALSE(single);
  EXPECT_EQ(breaches_of(single.error()), std::vector<std::string>{"secrets.cert env_unused"});
}

TEST(ComposeRequest, OnlyFileSecretsOfTheRequestCanBeMounted) {
  const auto refused =
      check(service_file("secrets: [TOKEN, other]") + "secrets: {third: }\n", with_request({.env_secrets = {"TOKEN"}}));

  ASSERT_FALSE(refused);
  EXPECT_EQ(breaches_of(refused.error()),
            (std::vector<std::string>{"secrets.third secret_unknown", "services.web.secrets[0] secret_unknown",
                                      "services.web.secrets[1] secret_unknown"}));
}

TEST(ComposeRequest, EachIngressPortMustBePublished) {
  CheckOptions routed = options();
  routed.ingress_ports = {8080, 8081, 80};

  const auto refused = check(service_file("ports: ['8080:80']"), routed);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::ingress_port_unpublished);
  EXPECT_EQ(breaches_of(refused.error()), (std::vector<std::string>{"ingress[1].port ingress_port_unpublished",
                                                                    "ingress[2].port ingress_port_unpublished"}));
  routed.ingress_ports = {8080};
  EXPECT_TRUE(check(service_file("ports: ['8080:80']"), routed));
}

}  // namespace
}  // namespace ee::compose
