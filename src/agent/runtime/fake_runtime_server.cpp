#include "agent/runtime/fake_runtime_server.h"

#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/log.h"
#include "net/server.h"

namespace ee::agent {
namespace {

/// Answers everything alike.
class Answer final : public net::Application {
 public:
  explicit Answer(std::string body) : body_(std::move(body)) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& /*request*/) override {
    return {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = body_};
  }

 private:
  std::string body_;
  net::RouteInfo route_{.route_template = "/", .security_headers = false};
};

const boost::json::value* member(const boost::json::value* from, std::string_view name) {
  return from && from->is_object() ? from->as_object().if_contains(name) : nullptr;
}

std::string text(const boost::json::value* from) {
  return from && from->is_string() ? std::string(from->as_string()) : std::string();
}

/// `address:port` of each TCP port that the body publishes.
std::vector<std::string> published(const boost::json::value& body) {
  std::vector<std::string> all;
  const auto* const bindings = member(member(&body, "HostConfig"), "PortBindings");
  if (!bindings || !bindings->is_object()) return all;
  for (const auto& entry : bindings->as_object()) {
    if (!std::string_view(entry.key()).ends_with("/tcp") || !entry.value().is_array()) continue;
    for (const auto& binding : entry.value().as_array())
      all.push_back(text(member(&binding, "HostIp")) + ":" + text(member(&binding, "HostPort")));
  }
  return all;
}

}  // namespace

struct FakeRuntimeServer::Port {
  explicit Port(std::string body) : answer(std::move(body)) {}
  Answer answer;
  std::unique_ptr<net::Server> server;  // last: ends first
};

FakeRuntimeServer::FakeRuntimeServer(FakeRuntime& runtime, Clock& clock, Random& random)
    : runtime_(runtime), clock_(clock), random_(random) {
  runtime_.set_watch({.started = [this](const auto& container) { start(container); },
                      .ended = [this](const std::string& id) { end(id); }});
}

FakeRuntimeServer::~FakeRuntimeServer() { runtime_.set_watch({}); }

void FakeRuntimeServer::start(const FakeRuntime::Container& container) {
  const auto body = json::parse(container.body);
  if (!body) return;
  const auto label = container.state.labels.find("com.easyenclave.service");
  std::string answer = R"({"service":)";
  json::append_quoted(answer, label == container.state.labels.end() ? container.name : label->second);
  answer += R"(,"image":)";
  json::append_quoted(answer, container.image);
  answer += "}\n";
  for (const std::string& address : published(*body)) {
    auto port = std::make_unique<Port>(answer);
    auto server = net::Server::start({.bind = address, .worker_threads = 1}, port->answer, clock_, random_);
    if (!server) {
      log::error("fake_runtime", "a published port cannot be opened",
                 {{"address", address}, {"detail", server.error()}});
      continue;
    }
    port->server = std::move(*server);
    const std::lock_guard lock(mutex_);
    ports_[container.id].push_back(std::move(port));
  }
}

void FakeRuntimeServer::end(const std::string& id) {
  decltype(ports_)::node_type gone;
  const std::lock_guard lock(mutex_);
  gone = ports_.extract(id);
}

std::vector<std::string> FakeRuntimeServer::urls() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [id, ports] : ports_)
    for (const auto& port : ports) all.push_back(port->server->url());
  return all;
}

}  // namespace ee::agent
