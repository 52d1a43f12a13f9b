#include "attestation/tsm/configfs_tsm.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <regex>

#include "attestation/quote/quote.h"
#include "common/fake_random.h"
#include "tests/support/fake_configfs.h"

namespace ee::attestation {
namespace {

using testing::FakeConfigfs;
using Knobs = FakeConfigfs::Knobs;

/// Back-offs pass at once and are written down; waiting for the kernel ends by its answer or by `advance`.
class TsmClock final : public Clock {
 public:
  UtcTime now() const override { return clock_.now(); }
  SteadyTime steady_now() const override { return clock_.steady_now(); }
  bool sleep_until(SteadyTime deadline, std::stop_token stop) override {
    if (stop.stop_possible()) return clock_.sleep_until(deadline, std::move(stop));
    const auto wait = std::chrono::ceil<Milliseconds>(deadline - clock_.steady_now());
    waits_.push_back(wait.count());
    clock_.advance(wait);
    return true;
  }
  void wait_for_sleepers(int count) { clock_.wait_for_sleepers(count); }
  void advance(Milliseconds by) { clock_.advance(by); }
  const std::vector<std::int64_t>& waits() const { return waits_; }

 private:
  FakeClock clock_;
  std::vector<std::int64_t> waits_;
};

class ConfigfsTsmTest : public ::testing::Test {
 protected:
  ~ConfigfsTsmTest() override {
    configfs_->release();
    configfs_->wait_for_no_entries();
  }

  static ByteArray<64> report_data(std::uint8_t fill = 0x5a) {
    ByteArray<64> out{};
    out.fill(fill);
    return out;
  }
  std::string answer() {
    const auto quote = tsm_.generate(report_data());
    return quote ? "quote" : std::string(slug(quote.error().code));
  }
  /// A call that hangs until 20 s have passed.
  std::string answer_after_timeout(int hanging) {
    auto call = std::async(std::launch::async, [this] { return answer(); });
    configfs_->wait_for_hanging(hanging);
    clock_.wait_for_sleepers(1);
    clock_.advance(Seconds(20));
    return call.get();
  }

  std::shared_ptr<FakeConfigfs> configfs_ = std::make_shared<FakeConfigfs>();
  TsmClock clock_;
  FakeRandom random_;
  ConfigfsTsm tsm_{configfs_->root(), clock_, random_, configfs_};
};

// covers: S01_TSM_001
TEST_F(ConfigfsTsmTest, WritesTheReportDataAndCleansUp) {
  const auto quote = tsm_.generate(report_data(0xa1));

  ASSERT_TRUE(quote) << quote.error().detail;
  const auto parsed = parse_quote(*quote, TrailingPolicy::zeros);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_hex(parsed->report_data()), to_hex(report_data(0xa1)));
  EXPECT_EQ(quote->size(), parsed->bytes().size()) << "the kernel's padding is gone";
  ASSERT_EQ(configfs_->written().size(), 1U);
  EXPECT_EQ(to_hex(configfs_->written()[0]), to_hex(report_data(0xa1)));
  EXPECT_TRUE(configfs_->entries().empty());
  ASSERT_EQ(configfs_->made().size(), 1U);
  EXPECT_TRUE(std::regex_match(configfs_->made()[0], std::regex("ee-" + std::to_string(::getpid()) + "-[0-9a-f]{16}")));
  EXPECT_FALSE(tsm_.emulated());
}

TEST_F(ConfigfsTsmTest, UsesANewEntryForEachQuote) {
  EXPECT_EQ(answer(), "quote");
  EXPECT_EQ(answer(), "quote");
  ASSERT_EQ(configfs_->made().size(), 2U);
  EXPECT_NE(configfs_->made()[0], configfs_->made()[1]);
}

TEST_F(ConfigfsTsmTest, TriesThreeEntryNames) {
  configfs_->set([](Knobs& knobs) { knobs.mkdir_errors = {EEXIST, EEXIST, 0}; });
  EXPECT_EQ(answer(), "quote");
  configfs_->set([](Knobs& knobs) { knobs.mkdir_errors = {EEXIST, EEXIST, EEXIST}; });
  EXPECT_EQ(answer(), "quote_generation_failed");
}

TEST_F(ConfigfsTsmTest, SaysWhenTheDeviceIsMissing) {
  for (const int error : {ENXIO, ENODEV}) {
    configfs_->set([error](Knobs& knobs) { knobs.mkdir_errors = {error}; });
    EXPECT_EQ(answer(), "tdx_unavailable") << error;
  }
  configfs_->set([](Knobs& knobs) { knobs.mkdir_errors = {EACCES}; });
  EXPECT_EQ(answer(), "quote_generation_failed");
}

// covers: S01_TSM_002
TEST_F(ConfigfsTsmTest, TriesAgainWhenAnotherWriterInterferes) {
  configfs_->set([](Knobs& knobs) { knobs.races = 2; });
  EXPECT_EQ(answer(), "quote");
  EXPECT_EQ(configfs_->written().size(), 3U);

  configfs_->set([](Knobs& knobs) { knobs.races = 3; });
  EXPECT_EQ(answer(), "quote_generation_raced");
  EXPECT_EQ(configfs_->written().size(), 6U);
  EXPECT_TRUE(configfs_->entries().empty());
}

// covers: S01_TSM_003
TEST_F(ConfigfsTsmTest, BacksOffWhenTheInblobIsBusy) {
  configfs_->set([](Knobs& knobs) { knobs.inblob_errors = {EBUSY, EBUSY, EBUSY, EBUSY, EBUSY}; });
  EXPECT_EQ(answer(), "quote");
  EXPECT_EQ(clock_.waits(), (std::vector<std::int64_t>{10, 20, 40, 80, 160}));

  configfs_->set([](Knobs& knobs) { knobs.inblob_errors = {EBUSY, EBUSY, EBUSY, EBUSY, EBUSY, EBUSY}; });
  EXPECT_EQ(answer(), "quote_generation_failed");
  EXPECT_TRUE(configfs_->entries().empty());
}

// covers: S01_TSM_003
TEST_F(ConfigfsTsmTest, AsksAtMostThreeTimesWhenTheOutblobIsBusy) {
  for (const int error : {EBUSY, EINTR, ETIMEDOUT}) {
    configfs_->set([error](Knobs& knobs) { knobs.outblob_errors = {error, error}; });
    EXPECT_EQ(answer(), "quote") << error;
    configfs_->set([error](Knobs& knobs) { knobs.outblob_errors = {error, error, error}; });
    EXPECT_EQ(answer(), "quote_generation_failed") << error;
  }
  configfs_->set([](Knobs& knobs) { knobs.outblob_errors = {EIO}; });
  EXPECT_EQ(answer(), "quote_generation_failed") << "not tried again";
  EXPECT_EQ(answer(), "quote");
}

// covers: S01_TSM_004
TEST_F(ConfigfsTsmTest, GivesUpAfterTwentySecondsAndThenAtOnce) {
  configfs_->set([](Knobs& knobs) { knobs.hang = true; });
  EXPECT_EQ(answer_after_timeout(1), "quote_generation_timeout");
  EXPECT_EQ(answer_after_timeout(2), "quote_generation_timeout");

  const SteadyTime before = clock_.steady_now();
  EXPECT_EQ(answer(), "quote_generation_timeout");
  EXPECT_EQ(clock_.steady_now(), before);
  EXPECT_EQ(configfs_->entries().size(), 2U) << "the third call made none";

  configfs_->release();
  configfs_->wait_for_no_entries();  // the threads that were left behind clean up
  EXPECT_EQ(answer(), "quote");
}

TEST_F(ConfigfsTsmTest, CountsTheWaitForOthersIntoTheTwentySeconds) {
  configfs_->set([](Knobs& knobs) { knobs.hang = true; });
  auto first = std::async(std::launch::async, [this] { return answer(); });
  configfs_->wait_for_hanging(1);
  clock_.wait_for_sleepers(1);
  clock_.advance(Seconds(5));
  auto second = std::async(std::launch::async, [this] { return answer(); });
  clock_.wait_for_sleepers(2);

  clock_.advance(Seconds(15));  // the first gives up, the second gets its turn and 5 s
  EXPECT_EQ(first.get(), "quote_generation_timeout");
  configfs_->wait_for_hanging(2);
  clock_.wait_for_sleepers(1);
  clock_.advance(Seconds(5));
  EXPECT_EQ(second.get(), "quote_generation_timeout");
}

TEST_F(ConfigfsTsmTest, GivesCallersTheirTurnOneByOne) {
  std::vector<std::future<std::string>> calls;
  calls.reserve(8);
  for (int i = 0; i < 8; ++i) calls.push_back(std::async(std::launch::async, [this] { return answer(); }));
  for (auto& call : calls) EXPECT_EQ(call.get(), "quote");
  EXPECT_EQ(configfs_->written().size(), 8U) << "no call disturbed another";
}

// covers: S01_TSM_005
TEST_F(ConfigfsTsmTest, RefusesAnotherProvider) {
  for (const std::string_view provider : {"sev_guest\n", "tdx_guest2\n", "", "tdx_guest\n\n"}) {
    configfs_->set([provider](Knobs& knobs) { knobs.provider = provider; });
    const auto quote = tsm_.generate(report_data());
    ASSERT_FALSE(quote) << provider;
    EXPECT_EQ(slug(quote.error().code), "tdx_unavailable");
    EXPECT_EQ(quote.error().detail, "provider_mismatch");
  }
  EXPECT_TRUE(configfs_->entries().empty());
  EXPECT_TRUE(configfs_->written().empty());
}

// covers: S01_TSM_006
TEST_F(ConfigfsTsmTest, RefusesAQuoteWithOtherReportData) {
  configfs_->set([](Knobs& knobs) {
    knobs.quote = [](const ByteArray<64>& asked) {
      auto other = asked;
      other[63] ^= 1;
      return testing::emulated_quote({.report_data = other});
    };
  });
  EXPECT_EQ(answer(), "quote_generation_failed");
}

TEST_F(ConfigfsTsmTest, RefusesShortAndOversizedBlobs) {
  configfs_->set([](Knobs& knobs) { knobs.quote = [](const ByteArray<64>&) { return ByteVector(100); }; });
  EXPECT_EQ(answer(), "quote_generation_failed");
  configfs_->set([](Knobs& knobs) { knobs.quote = [](const ByteArray<64>&) { return ByteVector(); }; });
  EXPECT_EQ(answer(), "quote_generation_failed");
  const auto padded_to = [](std::size_t size) {
    return [size](const ByteArray<64>& asked) {
      ByteVector quote = testing::emulated_quote({.report_data = asked});
      quote.resize(size);
      return quote;
    };
  };
  configfs_->set([&](Knobs& knobs) { knobs.quote = padded_to(32768); });
  EXPECT_EQ(answer(), "quote");
  configfs_->set([&](Knobs& knobs) { knobs.quote = padded_to(32769); });
  EXPECT_EQ(answer(), "quote_generation_failed");
}

TEST_F(ConfigfsTsmTest, FailsWithoutRandomness) {
  random_.set_failing(true);
  EXPECT_EQ(answer(), "quote_generation_failed");
  EXPECT_TRUE(configfs_->made().empty());
}

// covers: S01_TSM_007
TEST(ConfigfsTsm, SaysThatConfigfsIsMissing) {
  TsmClock clock;
  FakeRandom random;
  ConfigfsTsm tsm("/nonexistent/tsm/report", clock, random);
  EXPECT_FALSE(tsm.present());
  const auto quote = tsm.generate({});
  ASSERT_FALSE(quote);
  EXPECT_EQ(slug(quote.error().code), "tdx_unavailable");
  EXPECT_EQ(quote.error().detail, "configfs_missing");
}

// covers: S01_TSM_008
TEST_F(ConfigfsTsmTest, RemovesTheEntriesOfProcessesThatAreGone) {
  configfs_->set_living({::getpid(), 77});
  const std::set<std::string> kept = {
      "ee-77-00112233aabbccdd", "ee-" + std::to_string(::getpid()) + "-1", "other-78-1", "ee-x-1", "ee-79", "ee--80-1",
      "ee-99999999999999-1"};
  for (const auto& name : kept) configfs_->add_entry(name);
  configfs_->add_entry("ee-78-00112233aabbccdd");
  configfs_->add_entry("ee-80-1");

  EXPECT_EQ(tsm_.remove_stale_entries(), 2U);
  EXPECT_EQ(configfs_->entries(), kept);
  for (const auto& name : kept) (void)configfs_->remove_directory(configfs_->root() + "/" + name);
}

TEST(PosixTsmFiles, KnowsWhichProcessesExist) {
  PosixTsmFiles files;
  EXPECT_TRUE(files.process_exists(::getpid()));
  EXPECT_FALSE(files.process_exists(0x3fffffff));  // above any pid_max
}

TEST(PosixTsmFiles, ReportsErrnoValues) {
  PosixTsmFiles files;
  const testing::TempDir dir;
  EXPECT_EQ(files.write((dir / "missing").string(), {}), ENOENT);
  EXPECT_EQ(files.read((dir / "missing").string(), 10).error(), ENOENT);
  EXPECT_EQ(files.make_directory(dir.path().string()), EEXIST);
  EXPECT_EQ(files.remove_directory((dir / "missing").string()), ENOENT);
  EXPECT_TRUE(files.list((dir / "missing").string()).empty());
}

}  // namespace
}  // namespace ee::attestation
