#include "cp/service/direct_url.h"

#include <gtest/gtest.h>

#include <vector>

namespace ee::cp {
namespace {

const std::vector<std::string> kLoopback = {"127.0.0.0/8"};

// covers: S02_AGT_REG_019 (the rule; the route's answers are tested with the route)
TEST(DirectUrl, TakesAnIpLiteralInsideTheNetworksInDevOnly) {
  EXPECT_TRUE(is_allowed_direct_url("http://127.0.1.1:8088", true, kLoopback));
  EXPECT_TRUE(is_allowed_direct_url("https://127.255.0.9:1", true, kLoopback));
  EXPECT_FALSE(is_allowed_direct_url("http://127.0.1.1:8088", false, kLoopback));
  EXPECT_FALSE(is_allowed_direct_url("http://128.0.0.1:8088", true, kLoopback));
  EXPECT_TRUE(is_allowed_direct_url("http://[fd00::1]:80", true, std::vector<std::string>{"127.0.0.0/8", "fd00::/8"}));
  EXPECT_FALSE(is_allowed_direct_url("http://[fe00::1]:80", true, std::vector<std::string>{"fd00::/8"}));
}

TEST(DirectUrl, RefusesWhatCouldReachElsewhere) {
  for (const char* url : {"http://localhost:80", "http://127.0.0.1", "http://127.0.0.1:80/", "http://127.0.0.1:80/x",
                          "http://u@127.0.0.1:80", "http://127.0.0.1:80?x", "http://127.0.0.1:80#x",
                          "ftp://127.0.0.1:80", "http://127.1:80", "http://0x7f000001:80", "http://2130706433:80",
                          "127.0.0.1:80", "", "http://127.0.0.1.example.com:80", "http://[::ffff:127.0.0.1]:80"})
    EXPECT_FALSE(is_allowed_direct_url(url, true, kLoopback)) << url;
}

}  // namespace
}  // namespace ee::cp
