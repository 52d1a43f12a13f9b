#include "agent/config_disk.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/config_payload.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/support/temp_dir.h"

#ifdef EE_EMULATOR
#include "agent/quote_sources.h"
#endif

namespace ee::agent {
namespace {

constexpr const char* kPayload = R"({"node_size":"tiny","v":1})";

class ConfigDiskTest : public ::testing::Test {
 protected:
  ConfigDiskTest() {
    std::filesystem::create_directories(dir_.path() / "root/dev");
    std::filesystem::create_directories(dir_.path() / "run");
    inputs_.environment = {{"EE_AGENT_RUN_DIR", run_dir()}};
  }
  std::string run_dir() const { return dir_.path().string() + "/run"; }
  void put(const std::string& path, const std::string& bytes) {
    const auto full = dir_.path() / "root" / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << bytes;
  }
  std::optional<std::string> found() {
    inputs_.documents.clear();
    const auto added = add_config_disk(inputs_, host_);
    EXPECT_TRUE(added);
    if (inputs_.documents.empty()) return std::nullopt;
    EXPECT_EQ(inputs_.documents.front().source, Source::config_disk);
    return inputs_.documents.front().text;
  }

  ee::testing::TempDir dir_;
  Host host_{dir_ / "root"};
  ConfigInputs inputs_;
  FakeClock clock_;
  FakeRandom random_;
};

TEST_F(ConfigDiskTest, the_disk_with_our_serial_comes_first) {
  EXPECT_FALSE(found());
  put("dev/sr0", encode_config_disk(R"({"v":2})").value());
  put("dev/vda", encode_config_disk(R"({"v":3})").value());
  put("sys/block/vda/serial", "root-disk\n");
  EXPECT_EQ(found(), R"({"v":2})");
  put("dev/vdb", encode_config_disk(kPayload).value());
  put("sys/block/vdb/serial", "ee-config\n");
  EXPECT_EQ(found(), kPayload);
}

TEST_F(ConfigDiskTest, what_was_kept_serves_later_starts_of_the_same_boot) {
  put("dev/sr0", std::string(1024UL * 1024, '\0'));  // wiped by the launcher
  EXPECT_FALSE(found());
  ASSERT_TRUE(keep_config_payload(run_dir(), kPayload));
  EXPECT_EQ(found(), kPayload);
}

TEST_F(ConfigDiskTest, a_malformed_disk_is_fatal) {
  std::string image = encode_config_disk(kPayload).value();
  image[20 * 2048 + 68] = 10;
  put("dev/sr1", image);
  const auto added = add_config_disk(inputs_, host_);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().exit_code, ExitCode::bad_configuration);
}

#ifdef EE_EMULATOR
TEST_F(ConfigDiskTest, S02_EEA_CFG_004_mrconfigid_names_the_payload_or_nothing) {
  AgentConfig config;
  config.env = Environment::dev;
  config.allow_emulated_tdx = true;
  config.tdx_provider = TdxProvider::emulated;
  const auto quotes_with = [&](const std::string& name, const std::string& mrconfigid) {
    config.emulated_tdx_dir = dir_ / name;
    std::filesystem::create_directories(config.emulated_tdx_dir);
    std::filesystem::permissions(config.emulated_tdx_dir, std::filesystem::perms::owner_all);
    if (!mrconfigid.empty())
      std::ofstream(config.emulated_tdx_dir + "/emulated.json") << R"({"mrconfigid":")" + mrconfigid + "\"}";
    return make_quote_source(config, clock_, random_).value();
  };
  const auto code = [&](attestation::QuoteSource& quotes, const std::optional<std::string>& payload) {
    const auto checked = check_config_digest(quotes, payload, random_);
    return checked ? std::string() : std::string(slug(checked.error().code));
  };
  const auto zero = quotes_with("zero", "");
  EXPECT_EQ(code(*zero, std::nullopt), "");
  EXPECT_EQ(code(*zero, "anything"), "");
  const auto set = quotes_with("set", to_hex(sha384(bytes_of(kPayload))));
  EXPECT_EQ(code(*set, kPayload), "");
  EXPECT_EQ(code(*set, std::string(kPayload) + " "), "config_digest_mismatch");
  EXPECT_EQ(code(*set, std::nullopt), "config_digest_mismatch");
}
#endif

}  // namespace
}  // namespace ee::agent
