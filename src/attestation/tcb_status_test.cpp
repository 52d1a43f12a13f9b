#include "attestation/tcb_status.h"

#include <gtest/gtest.h>

#include <array>

namespace ee::attestation {
namespace {

// The order of verifier mode `both`, from best to worst.
constexpr std::array<std::string_view, 10> kInOrder = {"UpToDate",
                                                       "SWHardeningNeeded",
                                                       "ConfigurationNeeded",
                                                       "ConfigurationAndSWHardeningNeeded",
                                                       "TDRelaunchAdvised",
                                                       "TDRelaunchAdvisedConfigurationNeeded",
                                                       "OutOfDate",
                                                       "OutOfDateConfigurationNeeded",
                                                       "Unknown",
                                                       "Revoked"};

TEST(TcbStatus, HasATextThatReadsBack) {
  for (const std::string_view text : kInOrder) {
    const auto status = tcb_status_of(text);
    ASSERT_TRUE(status) << text;
    EXPECT_EQ(to_string(*status), text);
  }
  for (const std::string_view text : {"", "uptodate", "UpToDate ", "UpToDateX", "OK"})
    EXPECT_FALSE(tcb_status_of(text));
}

TEST(TcbStatus, IsOrderedFromBestToWorst) {
  for (std::size_t i = 0; i < kInOrder.size(); ++i) {
    for (std::size_t j = 0; j < kInOrder.size(); ++j) {
      const auto both = worse(*tcb_status_of(kInOrder[i]), *tcb_status_of(kInOrder[j]));
      EXPECT_EQ(to_string(both), kInOrder[std::max(i, j)]);
    }
  }
}

}  // namespace
}  // namespace ee::attestation
