// Long answers over a real socket: whole, in pieces, and cut off when the reader has gone.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "cp/http/export_pump.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/ledger_store.h"
#include "net/curl_http_client.h"
#include "net/server.h"
#include "net/stream.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

class Exports : public ::testing::Test {
 protected:
  /// As a client on the network would get it.
  HttpClientResponse get(const std::string& path) {
    if (token_.empty()) token_ = cp.admin_token();
    HttpClientRequest request{.method = "GET", .url = cp.app().url() + path};
    request.headers.push_back({"Authorization", "Bearer " + token_});
    request.max_response_bytes = 64UL * 1024 * 1024;
    return net::CurlHttpClient().send(request).value();
  }

  TestControlPlane cp;

 private:
  std::string token_;
};

TEST_F(Exports, AStatementOfManyLinesComesInPieces) {
  const AccountId account = add_test_account(cp, 1);
  constexpr int kLines = 3500;
  ASSERT_TRUE(cp.app().database().run_write([&](db::Transaction& tx) -> Result<void> {
    const cp::LedgerStore store(cp.random);
    for (int i = 0; i < kLines; ++i) {
      const auto posted = store.post(
          tx,
          {.kind = cp::LedgerKind::credit,
           .idempotency_key = "k" + std::to_string(i),
           .lines = {{account, 1, cp::TransactionType::credit}, {cp::kGrantsAccount, -1, cp::TransactionType::credit}},
           .actor = "admin:a"},
          cp.clock.now() + Milliseconds(i / 100));
      if (!posted) return std::unexpected(posted.error());
    }
    return {};
  }));
  const std::string month = to_rfc3339(cp.clock.now()).substr(0, 7);
  const auto answer = get("/api/v1/accounts/" + account.str() + "/statements/" + month + "?format=csv");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.header("Content-Length"), std::nullopt) << "streamed";
  EXPECT_EQ(std::ranges::count(answer.body, '\n'), kLines + 4) << "header, opening, total and closing besides";
  EXPECT_TRUE(answer.body.ends_with("closing,,,,,,0.003500,,,,\r\n"));
  const auto json = get("/api/v1/accounts/" + account.str() + "/statements/" + month);
  EXPECT_TRUE(json.body.ends_with(R"("totals":{"credit":"0.003500"},"closing_balance":"0.003500"})"));
  EXPECT_TRUE(ee::json::parse(json.body, {.max_bytes = 64UL * 1024 * 1024}));
}

TEST_F(Exports, TheAuditLogComesWhole) {
  constexpr int kRows = 1300;
  ASSERT_TRUE(cp.app().database().run_write([&](db::Transaction& tx) -> Result<void> {
    for (int i = 0; i < kRows; ++i) {
      const auto written = cp::AuditLogStore().append(
          tx, {.actor = "system:test", .action = i % 2 == 0 ? "even" : "odd"}, cp.clock.now(), cp.random);
      if (!written) return std::unexpected(written.error());
    }
    return {};
  }));
  const auto all = get("/api/v1/admin/audit/export?actor=system:test");
  ASSERT_EQ(all.status, 200) << all.body;
  EXPECT_EQ(all.header("Content-Type"), "application/x-ndjson");
  EXPECT_EQ(std::ranges::count(all.body, '\n'), kRows);
  std::set<std::string> ids;
  for (std::size_t at = 0; at < all.body.size();) {
    const std::size_t end = all.body.find('\n', at);
    const auto row = ee::json::parse(all.body.substr(at, end - at));
    ASSERT_TRUE(row) << all.body.substr(at, end - at);
    ids.insert(std::string(row->at("id").as_string()));
    at = end + 1;
  }
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(kRows)) << "each once";
  const auto some = get("/api/v1/admin/audit/export?actor=system:test&action=odd");
  EXPECT_EQ(std::ranges::count(some.body, '\n'), kRows / 2);
  EXPECT_EQ(get("/api/v1/admin/audit/export?action=nothing").body, "");
  EXPECT_EQ(get("/api/v1/admin/audit/export?limit=5").status, 400);
  EXPECT_EQ(cp.call("GET", "/api/v1/admin/audit/export").status, 401);
}

/// A server whose only route is an export that the test makes.
class OneExport final : public net::Application {
 public:
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& /*request*/) override {
    auto made = pump.stream(net::Response{.status = 200}, first, next);
    return made ? std::move(*made) : net::Response{.status = 503};
  }
  std::string first = "first,";
  std::function<Result<std::string>()> next;
  cp::ExportPump pump;

 private:
  net::RouteInfo route_{.route_template = "/"};
};

class ExportPumpTest : public ::testing::Test {
 protected:
  std::expected<HttpClientResponse, HttpFailure> get() {
    HttpClientRequest request{.method = "GET", .url = server_->url() + "/"};
    request.max_response_bytes = 64UL * 1024 * 1024;
    return net::CurlHttpClient().send(request);
  }
  void start() { server_ = net::Server::start({.bind = "127.0.0.1:0"}, app, clock_, random_).value(); }

  SystemClock clock_;
  SystemRandom random_;
  OneExport app;
  std::unique_ptr<net::Server> server_;
};

TEST_F(ExportPumpTest, LargePiecesAreTakenAsTheClientTakesThem) {
  app.next = [count = 0]() mutable -> Result<std::string> {
    return ++count > 40 ? std::string() : std::string(200'000, 'x');
  };
  start();
  const auto answer = get();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body.size(), 6U + 40 * 200'000);
}

TEST_F(ExportPumpTest, AFailureInTheMiddleIsSeenByTheClient) {
  app.next = [count = 0]() mutable -> Result<std::string> {
    if (++count > 2) return fail(ErrorCode::database_unavailable);
    return std::string("piece,");
  };
  start();
  const auto answer = get();
  EXPECT_FALSE(answer) << "a body that is not whole must not look whole";
}

TEST_F(ExportPumpTest, PlacesAreGivenBack) {
  app.next = [count = 0]() mutable -> Result<std::string> { return count++ % 3 == 2 ? "" : "piece,"; };
  start();
  for (std::size_t i = 0; i < 2 * cp::ExportPump::kMaxExports; ++i) {
    const auto answer = get();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200) << i;
  }
}

TEST(ExportPumpBound, NoMoreThanItsPlaces) {
  cp::ExportPump pump;
  std::vector<net::Response> held;
  const auto endless = []() -> Result<std::string> { return std::string(100'000, 'x'); };
  for (std::size_t i = 0; i < cp::ExportPump::kMaxExports; ++i) {
    auto made = pump.stream(net::Response{.status = 200}, "x", endless);
    ASSERT_TRUE(made) << i;
    held.push_back(std::move(*made));
  }
  const auto refused = pump.stream(net::Response{.status = 200}, "x", endless);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
}

}  // namespace
}  // namespace ee::testing
