#include "agent/measure.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>

#include "agent/fake_control_plane.h"
#include "agent/quote_sources.h"
#include "attestation/quote/quote.h"
#include "attestation/tsm/emulated_quote.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace ee::agent {
namespace {

#ifdef EE_EMULATOR

class MeasureTest : public ::testing::Test {
 protected:
  MeasureTest() {
    config_.env = Environment::dev;
    config_.allow_emulated_tdx = true;
    config_.tsm_root = "/nonexistent";
    config_.emulated_tdx_dir = (dir_.path() / "deep/emulated-tdx").string();
    quotes_ = make_quote_source(config_, clock_, random_).value();
  }
  static std::string text(const boost::json::value& value, const char* name) {
    const auto& member = value.get_object().at(name).get_string();
    return {member.data(), member.size()};
  }

  ee::testing::TempDir dir_;
  FakeClock clock_;
  FakeRandom random_;
  AgentConfig config_;
  std::unique_ptr<attestation::QuoteSource> quotes_;
};

// covers: S02_EEA_MEA_001
TEST_F(MeasureTest, S02_EEA_MEA_001_prints_what_a_quote_of_this_vm_says) {
  EE_NEED_VECTORS();
  const auto root = dir_.path() / "root";
  std::filesystem::create_directories(root / "sys/firmware/acpi/tables/data");
  std::ofstream(root / "sys/firmware/acpi/tables/data/CCEL", std::ios::binary)
      << ee::testing::read_vector_text("attestation-rs/tdx_ccel_live.bin");
  std::filesystem::create_directories(root / "etc/easyenclave");
  std::ofstream(root / "etc/easyenclave/image.json") << R"({"schema":1,"version":"1.2.3","flavour":"dev"})";

  const auto json = measure(*quotes_, Host(root.string()), random_);

  ASSERT_TRUE(json) << json.error().detail;
  EXPECT_LE(json->size(), 256U * 1024);
  EXPECT_EQ(json->find('\n'), std::string::npos);
  const auto value = json::parse(*json).value();
  const auto expected = attestation::EmulatedMeasurements::defaults(attestation::EmulatedRole::agent);
  EXPECT_EQ(text(value, "mrtd"), to_hex(expected.mrtd));
  EXPECT_EQ(text(value, "rtmr2"), to_hex(expected.rtmrs[2]));
  EXPECT_EQ(text(value, "td_attributes"), "0000000010000000");
  EXPECT_EQ(value.get_object().at("emulated").as_bool(), true);
  EXPECT_EQ(value.get_object().at("image").as_object().at("version").as_string(), "1.2.3");
  const auto log = from_base64(text(value, "event_log"));
  ASSERT_TRUE(log);
  EXPECT_EQ(text(value, "event_log_sha256"), to_hex(sha256(*log)));
  const auto quote = attestation::parse_quote(*from_base64(text(value, "quote")), attestation::TrailingPolicy::zeros);
  ASSERT_TRUE(quote);
  EXPECT_EQ(to_hex(quote->mrtd()), text(value, "mrtd"));
  EXPECT_EQ(measurements_line("{}"), "EASYENCLAVE_MEASUREMENTS={}\n");
}

TEST_F(MeasureTest, WithoutLogOrImageThoseAreNull) {
  const auto value = json::parse(measure(*quotes_, Host("/nonexistent"), random_).value()).value();
  EXPECT_TRUE(value.get_object().at("event_log").is_null());
  EXPECT_TRUE(value.get_object().at("event_log_sha256").is_null());
  EXPECT_TRUE(value.get_object().at("image").is_null());
}

TEST_F(MeasureTest, S02_EEA_MEA_001_without_tdx_there_is_an_error_line) {
  config_.allow_emulated_tdx = false;
  const auto none = make_quote_source(config_, clock_, random_);
  ASSERT_FALSE(none);
  EXPECT_EQ(measure_error_line(none.error().code), "EASYENCLAVE_MEASURE_ERROR=tdx_unavailable\n");
  agent::testing::FakeQuoteSource broken;
  broken.set_failure(ErrorCode::quote_generation_timeout);
  EXPECT_EQ(measure(broken, Host("/nonexistent"), random_).error().code, ErrorCode::quote_generation_timeout);
}

TEST_F(MeasureTest, AQuoteForANonceBindsItUnderItsOwnName) {
  const auto value = json::parse(quote_for_nonce(*quotes_, "00FF").value()).value();
  EXPECT_EQ(text(value, "nonce"), "00ff");
  ByteVector preimage;
  append(preimage, std::string_view("ee-quote-v1\0\x00\xff", 14));
  EXPECT_EQ(text(value, "report_data"), to_hex(sha512(preimage)));
  const auto quote = attestation::parse_quote(*from_base64(text(value, "quote")), attestation::TrailingPolicy::zeros);
  EXPECT_EQ(to_hex(quote->report_data()), text(value, "report_data"));
  for (const std::string& bad : std::vector<std::string>{"", "0", "zz", std::string(130, '0')})
    EXPECT_EQ(quote_for_nonce(*quotes_, bad).error().code, ErrorCode::invalid_request) << bad;
}

TEST_F(MeasureTest, TheEmulatorIsUsedOnlyWhereItIsAllowed) {
  EXPECT_TRUE(quotes_->emulated());
  AgentConfig config = config_;
  config.env = Environment::production;  // load_config refuses this; the source must as well
  EXPECT_FALSE(make_quote_source(config, clock_, random_));
  config.tdx_provider = TdxProvider::emulated;
  config.allow_emulated_tdx = false;
  EXPECT_FALSE(make_quote_source(config, clock_, random_));
}

#endif

}  // namespace
}  // namespace ee::agent
