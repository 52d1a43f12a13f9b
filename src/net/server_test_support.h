#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/server.h"
#include "tests/support/raw_client.h"

namespace ee::net {

/// Whether it becomes true within five seconds.
template <class Predicate>
bool eventually(Predicate predicate) {
  const auto patience = std::chrono::steady_clock::now() + Seconds(5);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > patience) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Routes by "METHOD path"; unknown ones are 404. Keeps copies of all requests and records.
class TestApplication : public Application {
 public:
  struct Route {
    RouteInfo info;
    std::function<Response(Request&&)> handler;
  };
  struct Record {
    std::string method, path, client_address, request_id, code, route, principal;
    int status = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;
  };

  TestApplication() {
    routes["GET /"] = {.info = {.route_template = "/", .fast = true}, .handler = [](Request&&) {
                         return Response{.headers = {{"Content-Type", "text/plain"}}, .body = "hello"};
                       }};
    routes["POST /echo"] = {.info = {.route_template = "/echo", .max_body_bytes = 1024},
                            .handler = [](Request&& request) { return Response{.body = std::move(request.body)}; }};
  }

  Admission admit(const RequestHead& head) override {
    std::string method(head.method == "HEAD" ? "GET" : head.method);
    const auto found = routes.find(method + " " + std::string(head.path));
    if (found == routes.end()) return {.answer = Response{.status = 404}};
    return {.route = &found->second.info};
  }
  std::optional<Response> try_fast(Request& request) override {
    note(request);
    return route_of(request).handler(std::move(request));
  }
  Response handle(Request&& request) override {
    note(request);
    const Route& route = route_of(request);
    return route.handler(std::move(request));
  }
  void observe(const AccessRecord& record) override {
    const std::lock_guard lock(mutex_);
    records_.push_back({.method = std::string(record.method),
                        .path = std::string(record.path),
                        .client_address = std::string(record.client_address),
                        .request_id = std::string(record.request_id),
                        .code = std::string(record.code),
                        .route = record.route ? record.route->route_template : "",
                        .principal = std::string(record.principal),
                        .status = record.status,
                        .bytes_in = record.bytes_in,
                        .bytes_out = record.bytes_out});
    wake_.notify_all();
  }
  std::size_t record_count() const {
    const std::lock_guard lock(mutex_);
    return records_.size();
  }
  bool allows_origin(std::string_view origin) override { return !origin.empty() && origin == allowed_origin; }

  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  /// Blocks until that many records were made.
  std::vector<Record> records(std::size_t count) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::seconds(5), [&] { return records_.size() >= count; });
    return records_;
  }

  std::map<std::string, Route> routes;  ///< change before the server starts only
  std::string allowed_origin;

 private:
  const Route& route_of(const Request& request) {
    return routes.at((request.method == "HEAD" ? "GET" : request.method) + " " + request.path);
  }
  void note(const Request& request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Request> requests_;
  std::vector<Record> records_;
};

/// A gate that handlers wait at, so that a test decides when they end. Opens by itself when the stop token fires.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    wake_.notify_all();
  }
  /// Waits until the gate opens; false when `stop` fired first.
  bool pass(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    wake_.notify_all();
    const bool opened = wake_.wait(lock, stop, [&] { return open_; });
    --waiting_;
    ++passed_;
    wake_.notify_all();
    return opened;
  }
  void wait_for_waiting(int count) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return waiting_ >= count; });
  }
  void wait_for_passed(int count) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return passed_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool open_ = false;
  int waiting_ = 0;
  int passed_ = 0;
};

/// A server on a free port of 127.0.0.1 with a clock that the test moves.
struct TestServer {
  TestApplication app;
  FakeClock clock;
  FakeRandom random;
  ServerConfig config{.sweep_interval = Milliseconds(5)};  // real time: how soon paused accepting is looked at
  std::unique_ptr<Server> server;

  Server& start() {
    auto started = Server::start(config, app, clock, random);
    if (!started) throw std::runtime_error(started.error());
    server = std::move(*started);
    sent_before_ = testing::RawClient::bytes_sent();
    return *server;
  }
  testing::RawClient connect() { return testing::RawClient(server->port()); }
  /// Returns when the server has read all that raw clients have sent since it was started.
  void settle() {
    const auto patience = std::chrono::steady_clock::now() + Seconds(5);
    while (server->stats().bytes_received < testing::RawClient::bytes_sent() - sent_before_) {
      if (std::chrono::steady_clock::now() > patience) throw std::runtime_error("the server does not read");
      std::this_thread::yield();
    }
    server->sweep();
  }
  void wait_for_connections(std::size_t count) {
    const auto patience = std::chrono::steady_clock::now() + Seconds(5);
    while (server->stats().connections != count) {
      if (std::chrono::steady_clock::now() > patience) throw std::runtime_error("another number of connections");
      std::this_thread::yield();
    }
    server->sweep();
  }
  /// Moves the clock and has all time-outs looked at.
  void pass(Milliseconds time) {
    settle();
    clock.advance(time);
    server->sweep();
  }

 private:
  std::uint64_t sent_before_ = 0;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// `fields` end with CRLF each.
inline std::string get(std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n";
}

inline std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

/// Adds `name` ("POST /slow"), whose handler waits at the gate and says whether it opened.
inline void add_gated(TestServer& test, const std::string& name, Gate& gate, RouteInfo info = {}) {
  info.route_template = name.substr(name.find(' ') + 1);
  test.app.routes[name] = {.info = info, .handler = [&gate](Request&& request) {
                             return Response{.body = gate.pass(request.stop) ? "opened" : "stopped"};
                           }};
}

}  // namespace ee::net
