#include "agent/bootstrap/cp_environment.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ee::agent {
namespace {

std::string image(const std::string& text) { return R"("cp_image":")" + text + "\""; }

/// Configuration of the image in mode cp-bootstrap, with these members more.
std::expected<LoadedConfig, ConfigFailure> load(const std::string& members, Source source = Source::file) {
  ConfigInputs inputs;
  inputs.documents = {{.source = Source::file, .name = "agent.json", .text = R"({"mode":"cp-bootstrap"})"},
                      {.source = source, .name = "more", .text = "{" + members + "}"}};
  if (source == Source::file) inputs.documents.erase(inputs.documents.begin());
  inputs.flags = {{"mode", "cp-bootstrap"}};
  return load_config(inputs);
}
std::string problem(const std::string& members) {
  const auto loaded = load(members);
  return loaded ? "accepted" : loaded.error().problems.at(0);
}
std::string value_of(const CpEnvironment& environment, const std::string& name) {
  const auto found = std::ranges::find(environment.variables, name, &std::pair<std::string, Secret>::first);
  return found == environment.variables.end() ? "(none)" : std::string(found->second.reveal());
}

// covers: S02_EEA_CP_002
TEST(CpConfig, S02_EEA_CP_002_an_image_is_named_by_its_digest) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const auto pinned = load(image("ghcr.io/acme/ee-cp@" + digest));
  ASSERT_TRUE(pinned) << pinned.error().problems.at(0);
  EXPECT_EQ(pinned->config.cp.image, "ghcr.io/acme/ee-cp@" + digest);
  EXPECT_EQ(load(image("ghcr.io/acme/ee-cp:1.2@" + digest))->config.cp.image, "ghcr.io/acme/ee-cp@" + digest)
      << "a tag beside it says nothing";
  for (const char* bad : {"ghcr.io/acme/ee-cp:1.2", "ghcr.io/acme/ee-cp", "ghcr.io/acme/ee-cp@sha256:abc", "",
                          "ghcr.io/acme/ee-cp@md5:aaaa", "https://ghcr.io/acme/ee-cp"}) {
    const auto refused = load(image(bad));
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().exit_code, ExitCode::bad_configuration);
    EXPECT_NE(refused.error().problems.at(0).find("cp_image must be"), std::string::npos) << bad;
  }
  EXPECT_NE(problem(image("a/b@" + digest) + R"(,"cp_command":["/x","serve"])").find("exclude each other"),
            std::string::npos);
}

TEST(CpConfig, TheHostNeitherChoosesTheProgramNorItsFolder) {
  const auto loaded = load(image("ghcr.io/acme/ee-cp@sha256:" + std::string(64, 'a')) +
                               R"(,"cp_command":["/bin/sh","serve"],"cp_data_dir":"/tmp/x")",
                           Source::config_disk);
  ASSERT_TRUE(loaded) << loaded.error().problems.at(0);
  EXPECT_FALSE(loaded->config.cp.image);
  EXPECT_EQ(loaded->config.cp.command, (std::vector<std::string>{"/usr/bin/ee-cp", "serve"}));
  EXPECT_EQ(loaded->config.cp.data_dir, "/data/ee-cp");
  EXPECT_EQ(loaded->warnings.size(), 3U);
  EXPECT_FALSE(load(R"("cp_env":{"EE_ENV":"dev"})", Source::config_disk)) << "nor makes it a development one";
}

TEST(CpConfig, OnlyVariablesOfTheControlPlaneAreHandedOn) {
  for (const char* good : {"EE_X", "CP_X", "CLOUDFLARE_X", "STAGING_X", "PRODUCTION_X", "STRIPE_X", "GCP_X", "GITHUB_X",
                           "ITA_X", "ADMIN_X1"})
    EXPECT_TRUE(load(R"("cp_env":{")" + std::string(good) + R"(":"v"})")) << good;
  for (const char* bad :
       {"LD_PRELOAD", "PATH", "HOME", "ee_x", "EE_", "XEE_A", "EE_A=B", "EE_A B", "EEA", "NOTIFY_SOCKET"})
    EXPECT_FALSE(load(R"("cp_env":{")" + std::string(bad) + R"(":"v"})")) << bad;
  EXPECT_FALSE(load(R"("cp_env":{"EE_X":1})"));
  EXPECT_FALSE(load(R"("cp_env":{"EE_X":"a\u0000b"})"));
  EXPECT_FALSE(load(R"("cp_env":["EE_X"])"));
  EXPECT_TRUE(load(R"("cp_env":{"EE_CP_SIGNING_KEY":"-----BEGIN\nx\n"})"));
}

TEST(CpConfig, SecretsAreNotShown) {
  const auto loaded = load(R"("cp_env":{"EE_SECRETS_KEY":"very-secret","EE_PUBLIC_URL":"https://cp.example.com"})");
  ASSERT_TRUE(loaded);
  const std::string shown = describe(*loaded);
  EXPECT_EQ(shown.find("very-secret"), std::string::npos);
  EXPECT_NE(shown.find(R"("EE_SECRETS_KEY":"***")"), std::string::npos) << shown;
}

TEST(CpEnvironmentTest, FillsInWhatIsLeftOut) {
  const auto environment = cp_environment(load("")->config);
  ASSERT_TRUE(environment);
  EXPECT_EQ(value_of(*environment, "EE_ENV"), "production");
  EXPECT_EQ(value_of(*environment, "EE_BIND"), "127.0.0.1:8080");
  EXPECT_EQ(value_of(*environment, "EE_DATABASE_URL"), "sqlite:/data/ee-cp/easyenclave.db");
  EXPECT_EQ(value_of(*environment, "EE_BACKUP_DIR"), "/data/ee-cp/backups");
  EXPECT_EQ(environment->url, "http://127.0.0.1:8080");
  EXPECT_EQ(environment->variables.size(), 4U);
}

TEST(CpEnvironmentTest, KeepsWhatIsGiven) {
  const auto environment = cp_environment(
      load(
          R"("cp_env":{"EE_BIND":"0.0.0.0:9000","EE_DATABASE_URL_FILE":"/run/db","ADMIN_PASSWORD_HASH_FILE":"/run/h"})")
          ->config);
  ASSERT_TRUE(environment) << environment.error();
  EXPECT_EQ(environment->url, "http://127.0.0.1:9000");
  EXPECT_EQ(value_of(*environment, "EE_DATABASE_URL"), "(none)") << "given by a file";
  EXPECT_EQ(environment->files, (std::vector<std::string>{"/run/h", "/run/db"}));
}

TEST(CpEnvironmentTest, RefusesAddressesThatItCannotUse) {
  for (const char* bad : {"unix:/x", "localhost:80", "127.0.0.1:8088", "127.0.0.1:8089", "0.0.0.0:8088", "127.0.0.1:0"})
    EXPECT_FALSE(cp_environment(load(R"("cp_env":{"EE_BIND":")" + std::string(bad) + R"("})")->config)) << bad;
  EXPECT_FALSE(cp_environment(load(R"("cp_env":{"EE_TLS_CERT_FILE":"/x"})")->config));
}

TEST(CpEnvironmentTest, WhatItPrintsIsLoggedWithoutItsValues) {
  const auto environment = cp_environment(
      load(R"("cp_env":{"EE_SECRETS_KEY":"12345678","EE_PUBLIC_URL":"https://cp.example.com","EE_X":"short"})")
          ->config);
  ASSERT_TRUE(environment);
  EXPECT_EQ(without_values("key 12345678 and 1234567812345678; https://cp.example.com short", *environment),
            "key *** and ******; https://cp.example.com short");
}

}  // namespace
}  // namespace ee::agent
