#include "net/client_address.h"

#include <gtest/gtest.h>

namespace ee::net {
namespace {

std::string round_trip(std::string_view text) {
  const auto address = parse_ip(text);
  return address ? to_string(*address) : "refused";
}

TEST(IpAddress, ReadsAndWritesBothFamilies) {
  EXPECT_EQ(round_trip("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(round_trip("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(round_trip("[2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(round_trip("::ffff:192.0.2.1"), "192.0.2.1");
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4x", " 1.2.3.4", "1.2.3.4:80", "[::1]:80",
                          "::1%lo", "example.org", "[", "[]", ":::"})
    EXPECT_EQ(round_trip(bad), "refused") << bad;
}

TEST(IpNetwork, ContainsItsAddresses) {
  const auto contains = [](std::string_view network, std::string_view address) {
    return parse_network(network).value().contains(parse_ip(address).value());
  };
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.1.2"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(contains("10.1.2.128/25", "10.1.2.200"));
  EXPECT_FALSE(contains("10.1.2.128/25", "10.1.2.127"));
  EXPECT_TRUE(contains("0.0.0.0/0", "203.0.113.1"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(contains("127.0.0.1", "127.0.0.1"));
  EXPECT_FALSE(contains("127.0.0.1", "127.0.0.2"));
  EXPECT_TRUE(contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
  for (const char* bad : {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "2001:db8::1/64",
                          "2001:db8::/129", "x/8"})
    EXPECT_FALSE(parse_network(bad)) << bad;
}

TEST(TrustedProxies, FindsTheClientBehindThem) {
  const TrustedProxies proxies({*parse_network("10.0.0.0/8"), *parse_network("2001:db8:ffff::/48")});
  const auto client = [&](std::string_view peer, std::vector<HeadField> fields) {
    return proxies.client_of(peer, parse_ip(peer), fields);
  };
  // An untrusted peer is the client, whatever it claims.
  EXPECT_EQ(client("203.0.113.5", {{"X-Forwarded-For", "1.1.1.1"}, {"CF-Connecting-IP", "2.2.2.2"}}), "203.0.113.5");
  EXPECT_EQ(client("unix", {{"X-Forwarded-For", "1.1.1.1"}}), "unix");
  // The right-most entry that is not a proxy of ours.
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "6.6.6.6, 1.1.1.1 ,10.9.9.9"}}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {{"x-forwarded-for", "6.6.6.6"}, {"X-Forwarded-For", "1.1.1.1"}}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", "10.1.1.1"}}), "1.1.1.1");
  EXPECT_EQ(client("2001:db8:ffff::1", {{"X-Forwarded-For", "2001:db8:1::5"}}), "2001:db8:1::5");
  // Nothing to go by, or all are proxies: the outermost known.
  EXPECT_EQ(client("10.0.0.1", {}), "10.0.0.1");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "10.2.2.2, 10.3.3.3"}}), "10.2.2.2");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", ""}}), "10.0.0.1");
  // Left of something unreadable nothing is believed.
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1, unknown"}}), "10.0.0.1");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1, unknown, 10.4.4.4"}}), "10.4.4.4");
  // Cloudflare's own field wins when the trusted peer sends it.
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}, {"CF-Connecting-IP", "2001:db8::7"}}), "2001:db8::7");
  EXPECT_EQ(client("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}, {"CF-Connecting-IP", "junk"}}), "1.1.1.1");
}

TEST(TrustedProxies, KnowsForwardingFields) {
  for (const char* name :
       {"Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"})
    EXPECT_TRUE(is_forwarding_field(name)) << name;
  for (const char* name : {"Host", "X-Forwarded", "X-Forwarded-", "Authorization"})
    EXPECT_FALSE(is_forwarding_field(name)) << name;
}

}  // namespace
}  // namespace ee::net
