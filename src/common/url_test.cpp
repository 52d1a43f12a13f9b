#include "common/url.h"

#include <gtest/gtest.h>

namespace ee {
namespace {

TEST(ParseUrl, GivesThePartsInLowerCase) {
  const auto url = parse_url("HTTPS://Example.COM:8443/A/b?c=d#e");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/A/b");
  EXPECT_TRUE(url->has_query);
  EXPECT_TRUE(url->has_fragment);
  EXPECT_FALSE(url->has_user);
  EXPECT_EQ(url->origin(), "https://example.com:8443");
  EXPECT_EQ(parse_url("http://h:80")->origin(), "http://h");
  EXPECT_EQ(parse_url("https://[::1]:443/")->origin(), "https://[::1]");
  EXPECT_TRUE(parse_url("https://u:p@h/")->has_user);
}

TEST(ParseUrl, RefusesWhatIsNoAbsoluteHttpUrl) {
  for (const std::string text :
       {"", "/a", "example.com", "//example.com", "ftp://h", "https://", "https:///a", "javascript:alert(1)",
        "https://h:0", "https://h:", "https://h:65536", "https://h:99999999999", "https://h h/", "https://h/\n",
        "https://[::1", "https://h/%zz", " https://h", "https://h\\a"})
    EXPECT_FALSE(parse_url(text)) << text;
  EXPECT_FALSE(parse_url("https://h/" + std::string(2048, 'a')));
}

TEST(PrivateHost, KnowsWhatIsNotPublic) {
  for (const std::string_view host : {"localhost",
                                      "LOCALHOST",
                                      "localhost.",
                                      "a.localhost",
                                      "127.0.0.1",
                                      "127.255.255.254",
                                      "10.0.0.1",
                                      "172.16.0.1",
                                      "172.31.255.255",
                                      "192.168.1.1",
                                      "169.254.169.254",
                                      "100.64.0.1",
                                      "0.0.0.0",
                                      "[::1]",
                                      "[::]",
                                      "[fe80::1]",
                                      "[fc00::1]",
                                      "[fdff::1]",
                                      "[::ffff:10.0.0.1]",
                                      "[::ffff:7f00:1]",
                                      "[::127.0.0.1]",
                                      "[::ffff:8.8.8.8]",
                                      "192.0.2.1",
                                      "168.63.129.16",
                                      "db",
                                      "metadata.google.internal",
                                      "printer.local",
                                      "127.1",
                                      "0x7f.1",
                                      "2130706433",
                                      "1.2.3.4.5"})
    EXPECT_TRUE(is_private_host(host)) << host;
  for (const std::string_view host : {"example.com", "api.trustedservices.intel.com", "8.8.8.8", "172.32.0.1",
                                      "100.128.0.1", "[2606:4700::1]", "localhost.example.com"})
    EXPECT_FALSE(is_private_host(host)) << host;
}

}  // namespace
}  // namespace ee
