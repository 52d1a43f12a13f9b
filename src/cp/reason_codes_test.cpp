// Every reason code of attestation that an answer can carry is produced by a test through its real interface. Looks
// into the sources of those tests: a new reason without one fails here.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "common/error.h"

namespace ee::testing {
namespace {

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The tests that drive routes and jobs of a whole control plane.
std::string route_tests() {
  std::string out;
  for (const auto& entry : std::filesystem::directory_iterator("src/cp"))
    if (entry.path().string().ends_with("_test.cpp") && entry.path().filename() != "reason_codes_test.cpp")
      out += text_of_file(entry.path());
  return out;
}

TEST(ReasonCodes, EachIsProducedThroughItsInterface) {
  const std::string routes = route_tests();
  const std::string quotes = text_of_file("src/attestation/tsm/configfs_tsm_test.cpp");
  std::size_t checked = 0;
  for (const ErrorInfo& info : error_table()) {
    if (info.area != "attestation" || info.http_status == 0) continue;
    ++checked;
    // A control plane without TDX says cp_attestation_unavailable; this one is of whoever makes quotes.
    if (info.code == ErrorCode::tdx_unavailable) {
      EXPECT_NE(quotes.find("tdx_unavailable"), std::string::npos);
      continue;
    }
    EXPECT_NE(routes.find('"' + std::string(info.slug) + '"'), std::string::npos)
        << info.slug << " is produced by no test of a route or job";
  }
  EXPECT_GE(checked, 78U);
}

}  // namespace
}  // namespace ee::testing
