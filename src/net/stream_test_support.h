#pragma once
#include <gtest/gtest.h>

#include <thread>

#include "net/server.h"
#include "net/server_test_support.h"
#include "net/stream.h"

namespace ee::net {

/// A stream handler that a test scripts by functions, and that keeps what it saw.
struct Script : StreamHandler, std::enable_shared_from_this<Script> {
  RouteInfo info{.route_template = "/stream", .max_body_bytes = 1UL << 40U, .security_headers = false};
  std::function<void(Exchange&, const RequestHead&)> start;
  std::function<void(Exchange&, std::string_view, bool)> body;
  std::function<void(Exchange&)> drained;
  std::atomic<Exchange*> exchange = nullptr;
  std::string trailers;
  std::mutex mutex;
  std::function<void(Exchange&)> tick;
  std::string received;
  std::atomic<bool> gone = false;
  std::atomic<bool> last = false;

  const RouteInfo& route() const override { return info; }
  void on_start(Exchange& given, const RequestHead& head) override {
    exchange = &given;
    if (start) start(given, head);
  }
  void on_body(std::string_view bytes, bool is_last, std::string_view ready) override {
    {
      const std::lock_guard lock(mutex);
      received += bytes;
      trailers += ready;
    }
    if (is_last) last = true;
    if (body) body(*exchange, bytes, is_last);
  }
  void on_drained() override {
    if (drained) drained(*exchange);
  }
  void on_gone() override {
    exchange = nullptr;
    gone = true;
  }
  void on_tick(SteadyTime) override {
    std::function<void(Exchange&)> step;
    {
      const std::lock_guard lock(mutex);
      step.swap(tick);
    }
    if (step && exchange) step(*exchange);
  }
  /// Runs `step` once on the io thread.
  void on_io(std::function<void(Exchange&)> step) {
    const std::lock_guard lock(mutex);
    tick = std::move(step);
  }
  std::size_t received_bytes() {
    const std::lock_guard lock(mutex);
    return received.size();
  }
};

struct StreamApplication : TestApplication {
  std::shared_ptr<StreamHandler> open_stream(const RequestHead& head) override {
    if (!head.path.starts_with("/stream")) return nullptr;
    return make();
  }
  std::function<std::shared_ptr<StreamHandler>()> make;
};

struct StreamServer {
  StreamApplication app;
  FakeClock clock;
  FakeRandom random;
  ServerConfig config{.sweep_interval = Milliseconds(5)};
  std::unique_ptr<Server> server;
  std::shared_ptr<Script> script = std::make_shared<Script>();

  void start() {
    if (!app.make) app.make = [this] { return script; };
    server = Server::start(config, app, clock, random).value();
  }
  testing::RawClient connect() { return testing::RawClient(server->port()); }
};

}  // namespace ee::net
