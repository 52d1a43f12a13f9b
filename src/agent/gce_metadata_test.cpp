#include "agent/gce_metadata.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "net/curl_http_client.h"
#include "tests/standins/gce_metadata/gce_metadata.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

constexpr const char* kConfig =
    R"({"control_plane_url":"https://cp.example.com","node_size":"tiny","bootstrap_token":"ee_boot_x","v":1})";

class GceMetadataTest : public ::testing::Test {
 protected:
  GceMetadataTest() {
    clock_.set_auto_advance(true);
    product("Google Compute Engine\n");
    server_.set("zone", "projects/123456789/zones/us-central1-a");
    server_.set("name", "tdx-7");
  }
  void product(const std::string& text) {
    const auto folder = dir_.path() / "root/sys/class/dmi/id";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "product_name") << text;
  }
  std::expected<void, ConfigFailure> add() {
    inputs_ = {};
    return add_gce_metadata(inputs_, host_, http_, clock_, server_.url());
  }
  /// What was wrong; `accepted` when nothing was.
  std::string problem() {
    const auto added = add();
    return added ? "accepted" : added.error().problems.at(0);
  }
  void next(const standins::GceMetadata::Answer& answer, int times = 1) {
    server_.answer_next("attributes/ee-config", answer, times);
  }

  ee::testing::TempDir dir_;
  Host host_{dir_ / "root"};
  FakeClock clock_;
  net::CurlHttpClient http_;
  standins::GceMetadata server_;
  ConfigInputs inputs_;
};

// covers: S02_EEA_CFG_001
TEST_F(GceMetadataTest, S02_EEA_CFG_001_the_attribute_is_the_fifth_source) {
  server_.set("attributes/ee-config", kConfig);
  ASSERT_TRUE(add());
  ASSERT_EQ(inputs_.documents.size(), 1U);
  EXPECT_EQ(inputs_.documents[0].source, Source::metadata);
  inputs_.documents.push_back({.source = Source::file, .name = "agent.json", .text = R"({"node_size":"standard"})"});
  const auto loaded = load_config(inputs_);
  ASSERT_TRUE(loaded) << loaded.error().problems.at(0);
  EXPECT_EQ(loaded->config.control_plane_url, "https://cp.example.com");
  EXPECT_EQ(loaded->config.bootstrap_token->reveal(), "ee_boot_x");
  EXPECT_EQ(loaded->config.node_size, "standard") << "the image beats the host";
  EXPECT_EQ(loaded->config.datacenter, "gcp:us-central1-a");
  EXPECT_EQ(loaded->config.gce_name, "tdx-7");
}

TEST_F(GceMetadataTest, AnInstanceWithoutTheAttributeHasNoSuchSource) {
  ASSERT_TRUE(add());
  EXPECT_TRUE(inputs_.documents.empty());
  EXPECT_EQ(inputs_.gce_zone, "us-central1-a");
}

TEST_F(GceMetadataTest, NothingIsAskedElsewhere) {
  for (const char* other : {"Standard PC (Q35 + ICH9, 2009)\n", "Google\n", "Not Google Compute Engine\n", ""}) {
    product(other);
    ASSERT_TRUE(add());
  }
  std::filesystem::remove_all(dir_.path() / "root/sys");
  ASSERT_TRUE(add());
  EXPECT_TRUE(server_.asked().empty());
}

// covers: S02_EEA_CFG_005
TEST_F(GceMetadataTest, S02_EEA_CFG_005_an_answer_without_the_header_is_somebody_elses) {
  server_.set("attributes/ee-config", kConfig);
  next({.flavor = ""});
  EXPECT_NE(problem().find("not answered by the metadata server"), std::string::npos);
  next({.flavor = "google"});
  EXPECT_NE(problem().find("not answered by the metadata server"), std::string::npos);
  next({.status = 404, .flavor = ""});  // nor may it say that there is no configuration
  EXPECT_NE(problem().find("not answered by the metadata server"), std::string::npos);
  server_.answer_next("name", {.flavor = "Amazon"});
  EXPECT_NE(problem().find("not answered by the metadata server"), std::string::npos);
}

TEST_F(GceMetadataTest, ARedirectIsNotFollowed) {
  standins::GceMetadata elsewhere;
  elsewhere.set("attributes/ee-config", kConfig);
  next({.status = 302, .location = elsewhere.url() + "/computeMetadata/v1/instance/attributes/ee-config"});
  EXPECT_NE(problem().find("answered 302"), std::string::npos);
  EXPECT_TRUE(elsewhere.asked().empty());
  EXPECT_TRUE(inputs_.documents.empty());
}

TEST_F(GceMetadataTest, WhatMayPassIsAskedForThreeTimes) {
  server_.set("attributes/ee-config", kConfig);
  next({.status = 503}, 2);
  EXPECT_EQ(problem(), "accepted");
  EXPECT_EQ(inputs_.documents.size(), 1U);
  next({.status = 503}, 3);
  EXPECT_NE(problem().find("answered 503"), std::string::npos);
  next({.status = 403});
  EXPECT_NE(problem().find("answered 403"), std::string::npos) << "a refusal is final";
}

TEST_F(GceMetadataTest, AnAnswerIsBounded) {
  next({.status = 200, .body = std::string(64UL * 1024, ' ')});
  EXPECT_EQ(problem(), "accepted") << "its text is judged later";
  EXPECT_FALSE(load_config(inputs_));
  next({.status = 200, .body = std::string(64UL * 1024 + 1, ' ')});
  EXPECT_NE(problem().find("larger than 64 KiB"), std::string::npos);
}

TEST_F(GceMetadataTest, ASlowServerIsGivenUp) {
  const auto begin = std::chrono::steady_clock::now();
  next({.hang = true}, 3);
  EXPECT_NE(problem().find("no answer: timeout"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(12));
  EXPECT_EQ(server_.asked().size(), 3U);
}

TEST_F(GceMetadataTest, AServerThatIsAwayIsFatal) {
  FakeHttpClient gone([](const HttpClientRequest&) { return std::unexpected(HttpFailure::connect); });
  const auto added = add_gce_metadata(inputs_, host_, gone, clock_);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().exit_code, ExitCode::bad_configuration);
  ASSERT_EQ(gone.calls().size(), 3U);
  EXPECT_EQ(gone.calls()[0].url, "http://169.254.169.254/computeMetadata/v1/instance/attributes/ee-config");
  EXPECT_EQ(gone.calls()[0].total_timeout, std::chrono::seconds(2));
}

TEST_F(GceMetadataTest, ZonesAndNamesThatAreNoneAreRefused) {
  for (const char* bad : {"", "us-central1-a", "projects//zones/x", "projects/1/zones/", "projects/1/zones/a/b",
                          "projects/x/zones/us", "projects/1/zones/us central", "projects/1/zones/../x"}) {
    EXPECT_FALSE(gce_zone_of(bad)) << bad;
    server_.set("zone", bad);
    EXPECT_NE(problem().find("is no zone"), std::string::npos) << bad;
  }
  server_.set("zone", "projects/1/zones/europe-west4-b");
  for (const char* bad : {"", "Two Words", "a.b", "-x"}) {
    server_.set("name", bad);
    EXPECT_NE(problem().find("is no name"), std::string::npos) << bad;
  }
}

// covers: S02_EEA_CFG_002
TEST_F(GceMetadataTest, S02_EEA_CFG_002_a_malformed_attribute_is_fatal) {
  for (const char* bad : {"", "null", "[1]", R"({"node_size":)", R"({"env":"dev"})"}) {
    server_.set("attributes/ee-config", bad);
    ASSERT_TRUE(add());
    EXPECT_FALSE(load_config(inputs_)) << bad;
  }
}

}  // namespace
}  // namespace ee::agent
