#include "attestation/verify/pcs_client.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"

namespace ee::attestation {
namespace {

HttpClientResponse good_answer(const HttpClientRequest&) {
  return {.status = 200,
          .headers = {{"tcb-info-issuer-chain", "tcb%20chain%0A%2B+%2f"},
                      {"SGX-Enclave-Identity-Issuer-Chain", "qe"},
                      {"SGX-PCK-CRL-Issuer-Chain", "pck"}},
          .body = "body"};
}

class Client : public ::testing::Test {
 protected:
  Client() { clock_.set_auto_advance(true); }
  Result<CollateralItem> fetch(const CollateralKey& key) { return client_.fetch(key, {}); }
  static std::string code(const Result<CollateralItem>& result) {
    return result ? "ok" : std::string(slug(result.error().code));
  }
  /// Answers with these statuses in turn; the last one for good.
  void answer_with(const std::vector<int>& statuses, const std::string& retry_after = {}) {
    http_.set_answer(
        [statuses, retry_after, call = std::make_shared<std::size_t>(0)](const HttpClientRequest& request) {
          const int status = statuses[std::min(*call, statuses.size() - 1)];
          ++*call;
          HttpClientResponse response = good_answer(request);
          response.status = status;
          if (!retry_after.empty()) response.headers.push_back({"Retry-After", retry_after});
          return response;
        });
  }
  FakeClock clock_;
  FakeRandom random_;
  FakeHttpClient http_{good_answer};
  PcsEndpoints endpoints_{.pcs_url = "https://pcs.test", .root_crl_url = "https://root.test/crl.der"};
  PcsClient client_{http_, clock_, random_, [this] { return endpoints_; }};
  const CollateralKey tcb_{.kind = CollateralKind::tcb_info, .fmspc = "b0c06f000000"};
};

TEST_F(Client, AsksWhereTheServiceHasThings) {
  const auto url_of = [&](const CollateralKey& key) {
    EXPECT_TRUE(fetch(key));
    return http_.calls().back().url;
  };
  EXPECT_EQ(url_of(tcb_), "https://pcs.test/tdx/certification/v4/tcb?fmspc=b0c06f000000&update=standard");
  EXPECT_EQ(url_of({.kind = CollateralKind::tcb_info, .fmspc = "00806f050000", .update = TcbUpdate::early}),
            "https://pcs.test/tdx/certification/v4/tcb?fmspc=00806f050000&update=early");
  EXPECT_EQ(url_of({.kind = CollateralKind::qe_identity}),
            "https://pcs.test/tdx/certification/v4/qe/identity?update=standard");
  EXPECT_EQ(url_of({.kind = CollateralKind::pck_crl, .ca = CaKind::processor}),
            "https://pcs.test/sgx/certification/v4/pckcrl?ca=processor&encoding=der");
  EXPECT_EQ(url_of({.kind = CollateralKind::root_crl}), "https://root.test/crl.der");
  endpoints_ = {.pcs_url = "https://pccs.test:8081/", .root_crl_url = ""};
  EXPECT_EQ(url_of({.kind = CollateralKind::root_crl}), "https://pccs.test:8081/sgx/certification/v4/rootcacrl");
}

TEST_F(Client, IsBoundedInTimeAndSize) {
  ASSERT_TRUE(fetch(tcb_));
  const HttpClientRequest request = http_.calls().front();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.connect_timeout, Seconds(5));
  EXPECT_EQ(request.total_timeout, Seconds(15));
  EXPECT_EQ(request.max_response_bytes, 1024U * 1024U);
}

TEST_F(Client, DecodesTheIssuerChain) {
  const auto item = fetch(tcb_);
  ASSERT_TRUE(item);
  EXPECT_EQ(item->body(), "body");
  EXPECT_EQ(item->issuer_chain(), "tcb chain\n++/");
  EXPECT_EQ(fetch({.kind = CollateralKind::qe_identity})->issuer_chain(), "qe");
  EXPECT_EQ(fetch({.kind = CollateralKind::pck_crl})->issuer_chain(), "pck");
  EXPECT_EQ(fetch({.kind = CollateralKind::root_crl})->issuer_chain(), "");
}

TEST_F(Client, RefusesAnAnswerWithoutAGoodChain) {
  for (const char* chain : {"%", "%0", "%0g", "x%"}) {
    http_.set_answer([chain](const HttpClientRequest&) {
      return HttpClientResponse{.status = 200, .headers = {{"TCB-Info-Issuer-Chain", chain}}, .body = "body"};
    });
    EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable") << chain;
  }
  http_.set_answer([](const HttpClientRequest&) {
    return HttpClientResponse{.status = 200, .headers = {{"SGX-TCB-Info-Issuer-Chain", "old"}}, .body = "body"};
  });
  EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable");
}

TEST_F(Client, TellsAnUnknownPlatformFromATroubledService) {
  answer_with({404});
  EXPECT_EQ(code(fetch(tcb_)), "fmspc_unknown");
  EXPECT_EQ(code(fetch({.kind = CollateralKind::qe_identity})), "collateral_unavailable");
  EXPECT_EQ(code(fetch({.kind = CollateralKind::pck_crl})), "collateral_unavailable");
  EXPECT_EQ(code(fetch({.kind = CollateralKind::root_crl})), "collateral_unavailable");
  EXPECT_EQ(http_.calls().size(), 4U) << "a definite answer is not asked for again";
  answer_with({400});
  EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable");
  answer_with({302});
  EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable");
  EXPECT_EQ(http_.calls().size(), 6U);
}

TEST_F(Client, TriesThreeTimesInAll) {
  for (const int status : {401, 429, 500, 503}) {
    const std::size_t before = http_.calls().size();
    answer_with({status});
    EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable") << status;
    EXPECT_EQ(http_.calls().size(), before + 3) << status;
    answer_with({status, status, 200});
    EXPECT_EQ(code(fetch(tcb_)), "ok") << status;
  }
  std::size_t before = http_.calls().size();
  http_.set_answer([](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    return std::unexpected(HttpFailure::timeout);
  });
  EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable");
  EXPECT_EQ(http_.calls().size(), before + 3);
}

TEST_F(Client, WaitsWithJitterBetweenTries) {
  answer_with({503});
  const SteadyTime before = clock_.steady_now();
  EXPECT_FALSE(fetch(tcb_));
  const auto waited = clock_.steady_now() - before;
  EXPECT_GE(waited, Milliseconds(0));
  EXPECT_LE(waited, Milliseconds(2500));
}

TEST_F(Client, HonoursRetryAfterUpToFiveSeconds) {
  answer_with({429, 200}, "5");
  SteadyTime before = clock_.steady_now();
  EXPECT_EQ(code(fetch(tcb_)), "ok");
  EXPECT_EQ(clock_.steady_now() - before, Seconds(5));
  answer_with({429, 200}, "6");
  before = clock_.steady_now();
  EXPECT_EQ(code(fetch(tcb_)), "collateral_unavailable") << "asked to wait longer than we may";
  EXPECT_EQ(clock_.steady_now(), before);
  answer_with({429, 200}, "Fri, 31 Dec 1999 23:59:59 GMT");
  EXPECT_EQ(code(fetch(tcb_)), "ok");
}

TEST_F(Client, StopsWhenTold) {
  answer_with({503});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(code(client_.fetch(tcb_, stop.get_token())), "collateral_unavailable");
  EXPECT_EQ(http_.calls().size(), 1U);
}

}  // namespace
}  // namespace ee::attestation
