#include "common/ip_network.h"

#include <gtest/gtest.h>

namespace ee {
namespace {

TEST(IpNetwork, AcceptsRangesAndSingleAddresses) {
  for (const char* text : {"10.0.0.0/8", "0.0.0.0/0", "127.0.0.1", "192.168.1.128/25", "1.2.3.4/32", "::/0",
                           "2001:db8::/32", "::1", "fe80::/10"})
    EXPECT_TRUE(is_ip_network(text)) << text;
}

TEST(IpNetwork, RefusesOtherTextAndBitsBehindThePrefix) {
  for (const char* text :
       {"", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "10.0.0/8", "10.0.0.1/8", "192.168.1.129/25",
        "2001:db8::1/32", "::/129", "host/8", "[::1]", "10.0.0.0/8/8", " 10.0.0.0/8", "10.0.0.0/+8"})
    EXPECT_FALSE(is_ip_network(text)) << text;
}

}  // namespace
}  // namespace ee
