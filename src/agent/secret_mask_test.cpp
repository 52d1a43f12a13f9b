#include "agent/secret_mask.h"

#include <gtest/gtest.h>

#include "agent/runtime/engine_test_fixture.h"
#include "common/fake_log.h"

namespace ee::agent {
namespace {

TEST(SecretMask, TakesValuesOutAlsoWhereTheyAreEscaped) {
  SecretMask mask;
  mask.add(Secret("hunter2hunter2"));
  mask.add(Secret("quo\"ted\nvalue"));
  mask.add(Secret("short"));
  EXPECT_EQ(mask.mask("a hunter2hunter2 b hunter2hunter2hunter2hunter2 short"), "a *** b ****** short");
  EXPECT_EQ(mask.mask(R"({"message":"env X=quo\"ted\nvalue is bad"})"), R"({"message":"env X=*** is bad"})");
  EXPECT_EQ(mask.mask("nothing"), "nothing");
  mask.clear();
  EXPECT_EQ(mask.mask("hunter2hunter2"), "hunter2hunter2");
}

TEST(SecretMask, KeepsABoundedNumber) {
  SecretMask mask;
  for (std::size_t i = 0; i <= SecretMask::kMost; ++i) mask.add(Secret("value-" + std::to_string(1000 + i)));
  EXPECT_EQ(mask.mask("value-1000"), "value-1000") << "the oldest went";
  EXPECT_EQ(mask.mask("value-1256"), "***");
}

// covers: S02_EEA_SEC_001
TEST_F(EngineRuntimeTest, S02_EEA_SEC_001_what_the_engine_quotes_is_masked_before_it_is_cut) {
  const CaptureLogs logs;
  SecretMask mask;
  mask.add(Secret("correct-horse-battery"));
  EngineOptions wanted = options();
  wanted.mask = &mask;
  EngineRuntime runtime(wanted, clock_);
  // The message is cut at 512 bytes, in the middle of the value if it were still there.
  engine_.on("POST /containers/create",
             Engine::json(400, R"({"message":"invalid environment: KEY=correct-horse-battery )" +
                                   std::string(468 - 24, 'x') + R"(correct-horse-battery"})"));
  const auto refused = runtime.create({.name = "ee-x", .body = "{}"}, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().detail.find("KEY=***"), std::string::npos) << refused.error().detail;
  EXPECT_EQ(refused.error().detail.find("correct-"), std::string::npos) << refused.error().detail;
  EXPECT_TRUE(logs.sink().contains("KEY=***"));
  EXPECT_FALSE(logs.sink().contains("correct-"));
}

// covers: S02_EEA_SEC_001
TEST_F(EngineRuntimeTest, what_a_registry_quotes_is_masked_too) {
  SecretMask mask;
  mask.add(Secret("correct-horse-battery"));
  EngineOptions wanted = options();
  wanted.mask = &mask;
  EngineRuntime runtime(wanted, clock_);
  const auto detail = [&] {
    const auto failed = runtime.pull(kReference, nullptr, {}, {});
    return failed ? std::string("pulled") : failed.error().detail;
  };
  for (const char* end : {"\n", ""}) {  // the last line need not have an end
    engine_.on("POST /images/create", [end](const Request&, const Peer& peer) {
      peer.open_stream();
      peer.chunk(std::string(R"({"error":"no entry for robot:correct-horse-battery"})") + end);
      peer.end_stream();
    });
    EXPECT_EQ(detail(), "no entry for robot:***");
  }
  engine_.on("POST /images/create", Engine::json(401, R"({"message":"robot:correct-horse-battery is not let in"})"));
  EXPECT_EQ(detail(), "robot:*** is not let in");
}

}  // namespace
}  // namespace ee::agent
