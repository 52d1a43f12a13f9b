#include "cp/outbound_http.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"

namespace ee::cp {
namespace {

class OutboundClock : public ::testing::Test {
 protected:
  /// Whether the clocks agree after an answer of this service with these headers.
  bool after(std::string_view service, const std::vector<HttpHeader>& headers) {
    http_.set_answer([headers](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
      return HttpClientResponse{.status = 200, .headers = headers};
    });
    EXPECT_TRUE(outbound_.of(service).send({.url = "https://service.example"}));
    return outbound_.clock_agrees();
  }

  FakeClock clock_{parse_rfc3339("2026-01-02T03:04:05.000Z").value()};
  FakeHttpClient http_{[](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    return std::unexpected(HttpFailure::connect);
  }};
  metrics::Registry metrics_;
  OutboundHttp outbound_{http_, clock_, metrics_};
};

TEST_F(OutboundClock, ADateMoreThanAMinuteAwayIsTold) {
  EXPECT_TRUE(outbound_.clock_agrees()) << "nobody was asked yet";
  EXPECT_TRUE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:04:05 GMT"}}));
  EXPECT_TRUE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:05:05 GMT"}}));
  EXPECT_FALSE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:05:06 GMT"}})) << "this machine is slow";
  EXPECT_TRUE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:03:05 GMT"}}));
  EXPECT_FALSE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:03:04 GMT"}})) << "this machine is fast";
  EXPECT_FALSE(after("intel_ta", {{"Date", "Fri, 02 Jan 2026 03:04:05 GMT"}})) << "one that disagrees is enough";
  EXPECT_TRUE(after("pcs", {{"Date", "Fri, 02 Jan 2026 03:04:00 GMT"}}));
}

TEST_F(OutboundClock, WhatSaysNothingChangesNothing) {
  for (const char* date :
       {"", "now", "Fri, 02 Jan 1999", "Fri, 99 Jan 1999 03:04:05 GMT", "Fri, 02 Jab 1999 03:04:05 GMT",
        "Fri, 02 Jan 1999 25:04:05 GMT", "Fri, -2 Jan 1999 03:04:05 GMT"})
    EXPECT_TRUE(after("pcs", {{"Date", date}})) << date;
  EXPECT_TRUE(after("pcs", {}));
  EXPECT_TRUE(after("cloudflare", {{"Date", "Fri, 02 Jan 1999 03:04:05 GMT"}})) << "its time is of no use to anybody";
  EXPECT_TRUE(after("pcs", {{"Date", "Fri, 02 Jan 2026 02:04:05 GMT"}, {"Age", "3600"}})) << "out of a cache";
}

}  // namespace
}  // namespace ee::cp
