#include "cp/service/late_refusals.h"

#include <gtest/gtest.h>

#include <atomic>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/support/test_database.h"
#include "tests/support/test_trigger.h"

namespace ee::cp {
namespace {

class LateRefusalsTest : public ::testing::Test {
 protected:
  bool add(const std::string& request_id, ErrorCode reason = ErrorCode::quote_malformed) {
    return late_->add(
        {.attempt = {.audited = true, .purpose = "register", .request_id = request_id, .source_ip = "10.0.0.1"},
         .event = AttestationEvent::registration_attestation_rejected,
         .reason = reason,
         .took = Milliseconds(3),
         .at = clock_.now()});
  }
  std::int64_t rows() { return database_.value<std::int64_t>("SELECT COUNT(*) FROM attestation_audit"); }

  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase database_;
  std::atomic<int> lost_ = 0;
  AttestationTrail trail_{
      {.database = database_, .clock = clock_, .random = random_, .audit_failed = [this] { ++lost_; }}};
  std::unique_ptr<LateRefusals> late_ = std::make_unique<LateRefusals>(trail_, database_);
};

TEST_F(LateRefusalsTest, EachHasItsRowWithTheTimeOfTheRefusal) {
  const UtcTime refused_at = clock_.now();
  ASSERT_TRUE(add("request-1"));
  clock_.advance(Seconds(7));
  ASSERT_TRUE(add("request-2", ErrorCode::quote_version_unsupported));
  late_->settle();
  EXPECT_EQ(database_.values<std::string>("SELECT reason_code || ' ' || request_id FROM attestation_audit ORDER BY at"),
            (std::vector<std::string>{"quote_malformed request-1", "quote_version_unsupported request-2"}));
  EXPECT_EQ(database_.value<std::int64_t>("SELECT MIN(at) FROM attestation_audit"), unix_ms(refused_at));
  late_->settle();  // nothing waits: at once
}

TEST_F(LateRefusalsTest, WhatWaitsAtTheEndIsWritten) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(add("request-" + std::to_string(i)));
  late_.reset();
  EXPECT_EQ(rows(), 1000);
  EXPECT_EQ(lost_, 0);
}

TEST_F(LateRefusalsTest, OneThatCannotBeWrittenDoesNotTakeTheOthersWithIt) {
  set_trigger(database_, {.name = "broken",
                          .event = "BEFORE INSERT",
                          .table = "attestation_audit",
                          .when = "NEW.request_id='request-5'",
                          .message = "broken"});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(add("request-" + std::to_string(i)));
  late_->settle();
  EXPECT_EQ(rows(), 9);
  EXPECT_EQ(lost_, 1);
}

TEST_F(LateRefusalsTest, TooManyAreRefusedAndNoneIsForgotten) {
  std::int64_t taken = 0;
  bool full = false;
  // The writer is kept busy by somebody else, so that nothing leaves.
  const auto held = database_->run_write([&](db::Transaction&) -> Result<void> {
    for (std::size_t i = 0; i < 2 * LateRefusals::kMaxWaiting && !full; ++i) {
      full = !add("request");
      taken += full ? 0 : 1;
    }
    return {};
  });
  ASSERT_TRUE(held);
  EXPECT_TRUE(full);
  EXPECT_LE(taken, static_cast<std::int64_t>(LateRefusals::kMaxWaiting + LateRefusals::kRowsAtOnce));
  late_->settle();
  EXPECT_EQ(rows(), taken);
}

}  // namespace
}  // namespace ee::cp
