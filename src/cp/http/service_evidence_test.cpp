#include "cp/service/service_evidence.h"

#include "common/fake_http_client.h"
#include "cp/http/proxy_test_support.h"

namespace ee::cp {
namespace {

using testing::FakeWorkload;

const std::string kNonce(64, 'a');

struct ServiceEvidenceTest : ProxyTest {
  HttpClientResponse next{.status = 200, .headers = {}, .body = R"({"purpose":"public"})"};
  FakeHttpClient http{[this](const HttpClientRequest& request) {
    asked.push_back(request.url);
    HttpClientResponse answer = next;
    const std::string agent = proxy.database.value<std::string>("SELECT id FROM agents WHERE direct_url='" +
                                                                request.url.substr(0, request.url.find('/', 7)) + "'");
    answer.headers.push_back({"X-EE-Agent", agent});
    return answer;
  }};
  std::vector<std::string> asked;
  AgentClient client{{.endpoint = proxy.endpoint,
                      .signing_keys = proxy.keys,
                      .http = http,
                      .clock = proxy.clock,
                      .random = proxy.random}};
  ServiceEvidence evidence{{.database = *proxy.database, .routes = proxy.routes, .client = client}};

  ErrorCode error_of(const std::string& service, const std::optional<std::string>& which = {}) {
    const auto got = evidence.get(service, kNonce, which, {});
    EXPECT_FALSE(got);
    return got ? ErrorCode{} : got.error().code;
  }
};

TEST_F(ServiceEvidenceTest, PassesOnWhatTheAgentSaysUnchanged) {
  start("account");
  FakeWorkload second("agent-2");
  const std::string other = proxy.add_backend("web", second.url());
  proxy.refresh();
  EXPECT_EQ(evidence.get("web", kNonce, {}, {}), next.body);
  EXPECT_EQ(evidence.get("web", kNonce, other, {}), next.body);
  EXPECT_EQ(asked, (std::vector<std::string>{workload.url() + "/.easyenclave/v1/evidence?nonce=" + kNonce,
                                             second.url() + "/.easyenclave/v1/evidence?nonce=" + kNonce}));
}

TEST_F(ServiceEvidenceTest, SaysWhyThereIsNone) {
  start();
  EXPECT_EQ(error_of("unknown"), ErrorCode::service_not_found);
  EXPECT_EQ(error_of("web", "0190d000-0000-7000-8000-000000000009"), ErrorCode::deployment_not_found);
  next.status = 429;
  EXPECT_EQ(error_of("web"), ErrorCode::rate_limited);
  next.status = 503;
  EXPECT_EQ(error_of("web"), ErrorCode::tdx_unavailable);
  next = {.status = 200, .headers = {}, .body = "<html>"};
  EXPECT_EQ(error_of("web"), ErrorCode::agent_bad_response);
  proxy.set_agent_of(deployment, "attestation_state='failed'");
  proxy.refresh();
  EXPECT_EQ(error_of("web"), ErrorCode::service_attestation_failed);
  proxy.set(deployment, "state='stopping'");
  proxy.refresh();
  EXPECT_EQ(error_of("web"), ErrorCode::service_unavailable);
}

}  // namespace
}  // namespace ee::cp
