// The control plane's reading of a path and the agent's, together: whatever the proxy lets through is the workload's.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "agent/request_path.h"
#include "cp/domain/proxy_path.h"
#include "net/head.h"

namespace ee {
namespace {

/// Paths made of what normalisers disagree about, half of them around the reserved name.
class Paths {
 public:
  std::string next() {
    constexpr std::array<std::string_view, 34> kParts = {"/",
                                                         "//",
                                                         ".",
                                                         "..",
                                                         "/./",
                                                         "/../",
                                                         "%2e",
                                                         "%2E",
                                                         "%252e",
                                                         "%2f",
                                                         "%2F",
                                                         "%252f",
                                                         "\\",
                                                         "%5c",
                                                         "%255C",
                                                         ";",
                                                         ";x=y",
                                                         "%3b",
                                                         "%00",
                                                         "%20",
                                                         "%09",
                                                         "%",
                                                         "%2",
                                                         "easyenclave",
                                                         "EasyEnclave",
                                                         "v1",
                                                         "health",
                                                         "a",
                                                         "%65",
                                                         "%2565",
                                                         "~",
                                                         "..;",
                                                         ".easyenclave",
                                                         "/.easyenclave/"};
    std::string path = "/";
    const std::size_t parts = 1 + random_() % 9;
    for (std::size_t i = 0; i < parts; ++i) path += kParts[random_() % kParts.size()];
    if (random_() % 2 == 0) path += encoded("/.easyenclave/v1/health");
    return path;
  }

 private:
  /// Some characters escaped, some of those twice.
  std::string encoded(std::string_view text) {
    std::string out;
    for (const char c : text) {
      const auto kind = random_() % 6;
      if (kind > 1) {
        out += c;
        continue;
      }
      constexpr std::string_view kDigits = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      out += kind == 0 ? "%" : "%25";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
    return out;
  }
  std::mt19937 random_{20260801};  // NOLINT: the same paths each time
};

TEST(ReservedPath, S03_PRX_021_no_spelling_of_the_agents_api_passes_the_proxy) {
  Paths paths;
  int passed = 0;
  int reserved = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string path = paths.next();
    for (const bool by_host : {false, true}) {
      const std::string whole = by_host ? path : "/proxy/web" + path;
      const cp::ProxyPath read = by_host ? cp::read_host_path(whole) : cp::read_proxy_path(whole);
      if (read.kind == cp::ProxyPathKind::reserved) ++reserved;
      if (read.kind != cp::ProxyPathKind::service) continue;
      ++passed;
      ASSERT_EQ(read.rest, path) << "byte for byte";
      ASSERT_NE(agent::classify_path(read.rest).kind, agent::PathKind::reserved) << path;
      ASSERT_FALSE(cp::routing_path(read.rest).starts_with("/.easyenclave/")) << path;
    }
  }
  EXPECT_GT(passed, 4'000) << "the rest is not refused for its looks";
  EXPECT_GT(reserved, 4'000);
}

// The two ends of the way choose the same ingress, as long as the agent takes the path at all.
TEST(ReservedPath, BothEndsReadAPathAlike) {
  Paths paths;
  int compared = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::string path = paths.next();
    const agent::ClassifiedPath there = agent::classify_path(path);
    if (there.kind != agent::PathKind::workload) continue;
    ++compared;
    ASSERT_EQ(cp::routing_path(path), there.normal) << path;
  }
  EXPECT_GT(compared, 3'000);
}

// A request head that the server refuses never becomes a path; one that it takes is read whole.
TEST(ReservedPath, WhatTheParserTakesIsOneLineOfOneRequest) {
  Paths paths;
  int complete = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string path = paths.next();
    net::HeadReader reader;
    const std::string text = "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
    if (reader.read(text) != net::HeadStatus::complete) continue;
    ++complete;
    ASSERT_EQ(reader.head().path, path.substr(0, path.find('?')));
    ASSERT_EQ(reader.size(), text.size());
  }
  EXPECT_GT(complete, 4'000);
}

}  // namespace
}  // namespace ee
