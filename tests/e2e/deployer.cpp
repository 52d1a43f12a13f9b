#include "tests/e2e/deployer.h"

#include <boost/json/serialize.hpp>
#include <stdexcept>

#include "common/json.h"

namespace ee::testing {
namespace {

boost::json::value body_of(const HttpClientResponse& answer, int status, const std::string& what) {
  auto body = json::parse(answer.body);
  if (answer.status != status || !body)
    throw std::runtime_error(what + ": " + std::to_string(answer.status) + " " + answer.body);
  return std::move(*body);
}

}  // namespace

std::string text_at(const boost::json::value& from, std::string_view pointer) {
  boost::system::error_code error;
  const auto* const found = from.find_pointer(pointer, error);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
}

Deployer::Deployer(ControlPlaneProcess& control_plane, const std::string& name, std::string session)
    : control_plane_(control_plane) {
  if (session.empty()) session = control_plane.sign_in();
  const HttpHeader admin{"Authorization", "Bearer " + session};
  const auto account = body_of(control_plane.call("POST", "/api/v1/accounts",
                                                  R"({"account_type":"deployer","name":")" + name + R"("})", {admin}),
                               201, "account");
  key_ = text_at(account, "/api_key");
  account_ = text_at(account, "/account/id");
  (void)body_of(control_plane.call("POST", "/api/v1/accounts/" + account_ + "/credit",
                                   R"({"amount":"100.000000","reason":"to try it"})",
                                   {admin, {"Idempotency-Key", "credit-" + name}}),
                201, "credit");
}

Deployer Deployer::with(std::string credential) const {
  Deployer other = *this;
  other.key_ = std::move(credential);
  return other;
}

HttpClientResponse Deployer::call(const std::string& method, const std::string& path, const std::string& body,
                                  std::vector<HttpHeader> more) {
  more.push_back({"Authorization", "Bearer " + key_});
  return control_plane_.call(method, path, body, std::move(more));
}

HttpClientResponse Deployer::insist(const std::string& method, const std::string& path, const std::string& body,
                                    const std::string& key) {
  HttpClientResponse answer;
  (void)eventually(
      [&] {
        answer = call(method, path, body, {{"Idempotency-Key", key}});
        return answer.status != 0 && answer.status != 503 && answer.status != 429;
      },
      90'000);
  return answer;
}

boost::json::value Deployer::need(int status, const std::string& method, const std::string& path,
                                  const std::string& body) {
  return body_of(call(method, path, body), status, method + " " + path);
}

std::string Deployer::request(const std::string& compose, std::uint16_t port, const std::string& more) {
  return R"({"compose":)" + boost::json::serialize(boost::json::string(compose)) +
         R"(,"ingress":[{"path_prefix":"/","port":)" + std::to_string(port) + R"(}],"health_path":"/")" + more + "}";
}

std::string Deployer::deploy(const std::string& service, const std::string& compose, std::uint16_t port) {
  const auto answer = need(201, "POST", "/api/v1/deploy",
                           request(compose, port, R"(,"access":"public","service":")" + service + R"(")"));
  return text_at(answer, "/deployments/0/id");
}

boost::json::value Deployer::deployment(const std::string& id) {
  return json::parse(call("GET", "/api/v1/deployments/" + id).body).value_or(nullptr);
}

bool Deployer::reaches(const std::string& id, const std::string& state, int timeout_ms) {
  std::string now;
  (void)eventually(
      [&] {
        now = this->state(id);
        return now == state || now == "failed" || now == "terminated" || now == "stopped";
      },
      timeout_ms);
  return now == state;
}

HttpClientResponse Deployer::visit(const std::string& service) {
  return control_plane_.call("GET", "/proxy/" + service + "/");
}

}  // namespace ee::testing
