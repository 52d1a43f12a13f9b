#include "cp/http/proxy_headers.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

using net::HeadField;

const ProxyMount kPath{.service = "web", .path_mode = true};

std::string request_fields(const std::vector<HeadField>& fields, bool trusted = false) {
  const net::RequestHead head{.method = "GET",
                              .path = "/proxy/web/",
                              .query = "",
                              .fields = fields,
                              .content_length = {},
                              .peer_address = "10.0.0.9",
                              .client_address = "10.0.0.9",
                              .request_id = "r",
                              .peer_trusted = trusted};
  std::string out;
  write_request_head(out, make_request_head(head, kPath, "/"), kPath,
                     {.host = "b", .deployment_id = "d", .ingress_port = 1, .assertion = "a"}, false);
  return out;
}

std::string answer_fields(std::vector<HeadField> fields, const ProxyMount& mount = kPath,
                          const AnswerRules& rules = {}) {
  net::ResponseHead head;
  head.status = 200;
  head.fields = std::move(fields);
  std::string out;
  write_response_fields(out, head, mount, {.host = "b", .deployment_id = "d"}, rules);
  return out;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Frameworks that hand fields on as variables (CGI, WSGI) do not tell `_` from `-`.
TEST(ProxyHeaders, AnUnderscoreIsNoWayToForgeAField) {
  const std::string fields = request_fields({{"Host", "x"},
                                             {"X_EE_Service", "forged"},
                                             {"X-EE_Deployment", "forged"},
                                             {"X_Forwarded_For", "forged"},
                                             {"X_Real-IP", "forged"},
                                             {"CF_Connecting_IP", "forged"},
                                             {"X_Kept", "kept"}});
  EXPECT_FALSE(has(fields, "forged")) << fields;
  EXPECT_TRUE(has(fields, "X_Kept: kept"));
  EXPECT_FALSE(has(answer_fields({{"X_EE_Proxy_Error", "forged"}}), "forged"));
}

TEST(ProxyHeaders, WhatConnectionNamesEndsHereWhateverItIs) {
  const std::string fields = request_fields({{"Host", "x"},
                                             {"Connection", "Authorization, Cookie, X-One"},
                                             {"Authorization", "Basic secret"},
                                             {"Cookie", "a=secret"},
                                             {"X-One", "secret"}});
  EXPECT_FALSE(has(fields, "secret")) << fields;
}

TEST(ProxyHeaders, KeepsTheWholeChainOfATrustedProxy) {
  const std::vector<HeadField> fields = {
      {"Host", "x"}, {"X-Forwarded-For", "9.9.9.9"}, {"X-Forwarded-For", "8.8.8.8"}, {"X-Forwarded-Proto", "https"}};
  EXPECT_TRUE(has(request_fields(fields, true), "X-Forwarded-For: 9.9.9.9, 8.8.8.8, 10.0.0.9\r\n"))
      << "the later field is the nearer proxy's";
  EXPECT_TRUE(has(request_fields(fields, false), "X-Forwarded-For: 10.0.0.9\r\n"));
  EXPECT_TRUE(has(request_fields({{"Host", "x"}, {"X-Forwarded-Proto", "https\";for=\"1.1.1.1"}}, true),
                  "X-Forwarded-Proto: http\r\n"))
      << "nothing but a scheme is believed";
}

// What a browser may show as a page, by the Fetch standard's reading of Content-Type and the MIME Sniffing standard.
TEST(ProxyHeaders, FencesInWhateverABrowserMayShowAsAPage) {
  const auto fenced = [](const std::vector<HeadField>& fields) {
    return has(answer_fields(fields), "Content-Security-Policy: sandbox") &&
           has(answer_fields(fields), "X-Content-Type-Options: nosniff");
  };
  for (const char* type :
       {"text/html", "TEXT/HTML ; charset=x", "text/plain, text/html", "text/plain,text/html;charset=utf-8",
        "unknown/unknown", "application/unknown", "*/*", "text/xsl", "application/rss+xml", "multipart/x-mixed-replace",
        "text/ html", "\ttext/html", "", "html", "application/xml;x"})
    EXPECT_TRUE(fenced({{"Content-Type", type}})) << type;
  EXPECT_TRUE(fenced({}));
  EXPECT_TRUE(fenced({{"Content-Type", "text/html"}, {"Content-Type", "*/*"}})) << "browsers skip the second";
  EXPECT_TRUE(fenced({{"Content-Type", "text/html"}, {"Content-Type", "text/plain"}}));
  for (const char* type : {"application/json", "text/plain; charset=utf-8", "image/png", "text/event-stream",
                           "application/octet-stream", "text/css", "application/javascript"})
    EXPECT_FALSE(fenced({{"Content-Type", type}})) << type;
}

TEST(ProxyHeaders, AWorkloadSetsNothingForTheWholeOrigin) {
  for (const char* name : {"NEL", "Report-To", "Expect-CT", "Public-Key-Pins", "Public-Key-Pins-Report-Only",
                           "Accept-CH", "Set-Login", "Alt-Svc", "Clear-Site-Data", "Service-Worker-Allowed"}) {
    EXPECT_FALSE(has(answer_fields({{name, "forged"}}), "forged")) << name;
    EXPECT_TRUE(has(answer_fields({{name, "own"}}, {.service = "web", .path_mode = false}), "own")) << name;
  }
}

TEST(ProxyHeaders, SharedCachesKeepNothingThatTakesACredential) {
  const AnswerRules rules{.shared = false};
  const auto control = [&](const std::vector<HeadField>& fields) {
    const std::string out = answer_fields(fields, kPath, rules);
    const std::size_t at = out.find("Cache-Control: ");
    EXPECT_EQ(out.find("Cache-Control: ", at + 1), std::string::npos);
    return at == std::string::npos ? "none" : out.substr(at + 15, out.find("\r\n", at) - at - 15);
  };
  EXPECT_EQ(control({{"Cache-Control", "public, max-age=60, S-MaxAge=90"}}), "private, max-age=60");
  EXPECT_EQ(control({{"Cache-Control", "no-store"}}), "private, no-store");
  EXPECT_EQ(control({{"Cache-Control", "private"}, {"cache-control", "max-age=1"}}), "private, max-age=1");
  EXPECT_EQ(control({{"Expires", "Thu, 01 Dec 2094 16:00:00 GMT"}}), "private");
  for (const char* name : {"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control"})
    EXPECT_FALSE(has(answer_fields({{name, "max-age=60"}}, kPath, rules), "60")) << name;
  EXPECT_TRUE(has(answer_fields({{"Cache-Control", "public, max-age=60"}}), "Cache-Control: public, max-age=60\r\n"))
      << "a public service's own affair";
}

TEST(ProxyHeaders, CookiesStayBelowTheService) {
  const struct {
    const char *given, *kept;
  } rows[] = {{"a=1", "a=1"},
              {"a=1; Path=/", "a=1; Path=/proxy/web/"},
              {"a=1; PATH = /x ; Secure", "a=1; Path=/proxy/web/x; Secure"},
              {"a=1; Path=../..", "a=1; Path=/proxy/web/"},
              {"a=1; Path", "a=1; Path=/proxy/web/"},
              {"a=1; domain=.example.com; Domain", "a=1"},
              {"EE_session=1", ""},
              {" ee_csrf = 1", ""},
              {"=ee_session=1", ""},
              {"ee_session", ""},
              {"__host-a=1", ""},
              {"__Secure-ee_x=1", ""}};
  for (const auto& row : rows) EXPECT_EQ(rewrite_set_cookie(row.given, "/proxy/web"), row.kept) << row.given;
}

}  // namespace
}  // namespace ee::cp
