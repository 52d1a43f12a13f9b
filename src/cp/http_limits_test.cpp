// Limits of the server's configuration that the route table takes over.
#include <gtest/gtest.h>

#include "net/curl_http_client.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

// covers: S05_HTTP_06
TEST(HttpLimits, ABodyIsBoundedByTheVariableWhereARouteSaysNothing) {
  TestControlPlane cp({.environment = {{"EE_HTTP_MAX_BODY_BYTES", "2048"}}});
  const auto post = [&](const std::string& path, std::size_t size) {
    HttpClientRequest request{.method = "POST", .url = cp.app().url() + path};
    request.headers.push_back({"Content-Type", "application/json"});
    request.body = R"({"x":")" + std::string(size, 'x') + "\"}";
    return net::CurlHttpClient().send(request).value().status;
  };
  EXPECT_EQ(post("/api/v1/billing/estimate", 1000), 400) << "read, and not understood";
  EXPECT_EQ(post("/api/v1/billing/estimate", 3000), 413);
  EXPECT_EQ(post("/api/v1/agents/register", 3000), 400) << "registration has a bound of its own";
}

}  // namespace
}  // namespace ee::testing
