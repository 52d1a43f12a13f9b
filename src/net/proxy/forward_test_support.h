#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <thread>

#include "net/proxy/forward.h"
#include "net/proxy/hop_fields.h"
#include "net/server_test_support.h"
#include "tests/support/fake_workload.h"

namespace ee::net {

struct Plan {
  std::deque<std::uint16_t> ports;  ///< of attempts 1, 2, ...; the last one stays
  ForwardLimits limits;
  std::shared_ptr<const TlsClientContext> tls;
  std::string server_name;
  std::atomic<bool> end_tunnels = false;
  std::atomic<bool> give_up = false;
  std::mutex mutex;
  std::vector<ForwardSummary> ended;
  std::vector<ForwardOutcome> outcomes;
};

/// Sends everything on with few changes.
class PlainPolicy final : public ForwardPolicy {
 public:
  explicit PlainPolicy(Plan& plan) : plan_(plan) {}
  void begin(const RequestHead& head, ForwardLimits& limits) override {
    limits = plan_.limits;
    lines_ = std::string(head.method) + " " + std::string(head.path) +
             (head.query.empty() ? "" : "?" + std::string(head.query)) + " HTTP/1.1\r\n";
    const HopFields hop(head.fields);
    for (const HeadField& field : head.fields)
      if (!hop.drops(field.name)) append_field(lines_, field.name, field.value);
  }
  void choose(int attempt, Exchange&, Chosen chosen) override {
    const std::size_t index = std::min(plan_.ports.size(), static_cast<std::size_t>(attempt)) - 1;
    const std::uint16_t port = plan_.ports[index];
    chosen(ForwardTarget{.pool_key = std::to_string(port),
                         .address = *parse_ip("127.0.0.1"),
                         .port = port,
                         .tls = plan_.tls,
                         .server_name = plan_.server_name});
  }
  void write_request(std::string& out) override { out += lines_; }
  void write_response(const ResponseHead& head, std::string& fields) override {
    const HopFields hop(head.fields);
    for (const HeadField& field : head.fields)
      if (!hop.drops(field.name)) append_field(fields, field.name, field.value);
  }
  Response refusal(ErrorCode code) override {
    return {.status = error_info(code).http_status, .body = std::string(slug(code))};
  }
  void on_attempt(ForwardOutcome outcome, const ResponseHead*) override {
    const std::lock_guard lock(plan_.mutex);
    plan_.outcomes.push_back(outcome);
  }
  bool must_end(bool tunnel) override { return tunnel && plan_.end_tunnels; }
  bool must_give_up() override { return plan_.give_up; }
  void on_end(const ForwardSummary& summary) override {
    const std::lock_guard lock(plan_.mutex);
    plan_.ended.push_back(summary);
  }

 private:
  Plan& plan_;
  std::string lines_;
};

struct ProxyApplication : TestApplication {
  std::shared_ptr<StreamHandler> open_stream(const RequestHead& head) override {
    if (head.path == "/") return nullptr;
    return forwarder.open(std::make_unique<PlainPolicy>(plan), info);
  }
  RouteInfo info{.route_template = "/proxy", .max_body_bytes = 1UL << 40U, .security_headers = false};
  Plan plan;
  Forwarder forwarder;
};

/// The next answer; one with status 0 when the connection ends instead.
inline std::optional<ee::testing::RawResponse> next(ee::testing::RawClient& client, bool to_head = false) {
  return client.read_response(to_head).value_or(ee::testing::RawResponse{});
}

struct ProxyServer {
  ee::testing::FakeWorkload workload{"agent-1"};
  ProxyApplication app;
  FakeClock clock;
  FakeRandom random;
  ServerConfig config{.sweep_interval = Milliseconds(5)};
  std::unique_ptr<Server> server;

  ProxyServer() { app.plan.ports = {workload.port()}; }
  ee::testing::RawClient connect() {
    if (!server) server = Server::start(config, app, clock, random).value();
    return ee::testing::RawClient(server->port());
  }
  ee::testing::RawResponse call(const std::string& request, bool to_head = false) {
    return connect_and(request, to_head);
  }
  ee::testing::RawResponse connect_and(const std::string& request, bool to_head) {
    ee::testing::RawClient client = connect();
    client.send(request);
    return client.read_response(to_head).value_or(ee::testing::RawResponse{});
  }
  ForwardSummary summary(std::size_t index = 0) {
    const auto patience = std::chrono::steady_clock::now() + Seconds(5);
    while (std::chrono::steady_clock::now() < patience) {
      {
        const std::lock_guard lock(app.plan.mutex);
        if (app.plan.ended.size() > index) return app.plan.ended[index];
      }
      std::this_thread::yield();
    }
    throw std::runtime_error("the exchange does not end");
  }
};

/// A port that nobody listens on.
inline std::uint16_t closed_port() { return ee::testing::FakeWorkload().port(); }

}  // namespace ee::net
