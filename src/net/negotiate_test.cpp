#include "net/negotiate.h"

#include <gtest/gtest.h>

#include "net/body_rate.h"
#include "net/response_writer.h"

namespace ee::net {
namespace {

TEST(Negotiate, KnowsWhoTakesGzip) {
  for (const char* yes : {"gzip", "GZIP", "br, gzip;q=0.5", "*", "identity, *;q=0.1", "x-gzip", "gzip ; q=1.0"})
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  for (const char* no : {"", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "*, gzip;q=0", "gzipped", "identity"})
    EXPECT_FALSE(accepts_gzip(no)) << no;
}

TEST(Negotiate, KnowsWhetherAcceptTakesJson) {
  for (const char* yes : {"", "  ", "*/*", "application/json", "Application/JSON;q=0.1", "application/*",
                          "text/html, */*;q=0.1", "text/html,application/json;charset=utf-8"})
    EXPECT_TRUE(accepts_media_type(yes, "application/json")) << yes;
  for (const char* no : {"text/html", "application/jsonp", "application/json;q=0", "*/*;q=0",
                         "*/*, application/json;q=0", "application/*;q=0, */*"})
    EXPECT_FALSE(accepts_media_type(no, "application/json")) << no;
}

TEST(Negotiate, KnowsAJsonBody) {
  for (const char* yes : {"application/json", "Application/Json ; charset=UTF-8", "application/json;charset=\"utf-8\"",
                          "application/json; profile=x"})
    EXPECT_TRUE(is_media_type(yes, "application/json")) << yes;
  for (const char* no : {"", "text/json", "application/json-patch+json", "application/json, text/plain",
                         "application/json; charset=latin1", "application/jsonx"})
    EXPECT_FALSE(is_media_type(no, "application/json")) << no;
}

TEST(Negotiate, KnowsWhatCompresses) {
  for (const char* yes : {"application/json", "application/problem+json", "text/html; charset=utf-8", "image/svg+xml",
                          "text/javascript", "application/yaml"})
    EXPECT_TRUE(is_compressible(yes)) << yes;
  for (const char* no :
       {"", "image/png", "application/octet-stream", "text/event-stream", "text/event-stream; charset=utf-8"})
    EXPECT_FALSE(is_compressible(no)) << no;
}

// The cases are those of the W3C Trace Context recommendation, section 3.2.
TEST(Negotiate, ReadsTraceparentsStrictly) {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_TRUE(is_traceparent(good));
  EXPECT_TRUE(is_traceparent("cc" + good.substr(2) + "-what-the-future-brings"));
  EXPECT_TRUE(is_traceparent("cc" + good.substr(2)));
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "-00", good + ".", "ff" + good.substr(2), "cc" + good.substr(2) + ".x",
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        "00-" + std::string(32, '0') + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + std::string(16, '0') + "-01",
        std::string("00-4bf92f3577b34da6a3ce929d0e0e4736x00f067aa0ba902b7-01"), good.substr(0, 53) + "xx"})
    EXPECT_FALSE(is_traceparent(bad)) << bad;
}

TEST(HttpDate, IsAnImfFixdate) {
  // The example of RFC 9110 section 5.6.7.
  EXPECT_EQ(http_date(from_unix_ms(784111777000)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(from_unix_ms(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(from_unix_ms(951782400999)), "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST(BodyRate, JudgesAWholeWindow) {
  const SteadyTime start{std::chrono::hours(1)};
  BodyRate rate;
  rate.start(start, Seconds(10));
  EXPECT_FALSE(rate.too_slow(start + Milliseconds(9'999), 10'240));
  EXPECT_TRUE(rate.too_slow(start + Milliseconds(10'000), 10'240));
}

TEST(BodyRate, ForgetsWhatIsOlderThanTheWindow) {
  const SteadyTime start{std::chrono::hours(1)};
  BodyRate rate;
  rate.start(start, Seconds(10));
  rate.received(start, 1'000'000);  // a burst buys ten seconds, not more
  EXPECT_FALSE(rate.too_slow(start + Milliseconds(10'500), 10'240));
  EXPECT_TRUE(rate.too_slow(start + Milliseconds(11'000), 10'240));
  rate.received(start + Milliseconds(60'000), 10'240);
  EXPECT_FALSE(rate.too_slow(start + Milliseconds(69'999), 10'240));
  EXPECT_TRUE(rate.too_slow(start + Milliseconds(71'000), 10'240));
}

TEST(BodyRate, LetsASteadySenderPass) {
  const SteadyTime start{std::chrono::hours(1)};
  BodyRate rate;
  rate.start(start, Seconds(10));
  for (int i = 1; i < 600; ++i) {
    const SteadyTime now = start + Milliseconds(100 * i);
    rate.received(now, 103);
    ASSERT_FALSE(rate.too_slow(now, 10'240)) << i;
  }
}

}  // namespace
}  // namespace ee::net
