#include "tests/support/fake_agent.h"

#include <algorithm>
#include <boost/json.hpp>
#include <stdexcept>

#include "common/ed25519.h"
#include "common/sealed_box.h"
#include "common/signatures.h"

namespace ee::testing {
namespace {

std::string boot_id_of(std::int64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  return "1b9d6bcd-bbfd-4b2d-9b5d-" + digits;
}

std::string header_of(const std::vector<HttpHeader>& headers, std::string_view name) {
  for (const HttpHeader& header : headers)
    if (net::equal_ignoring_case(header.name, name)) return header.value;
  return {};
}

}  // namespace

FakeAgent::FakeAgent(TestControlPlane& cp, int number)
    : cp_(cp),
      agent_(std::make_unique<EmulatedAgent>("tdx-agent-" + std::to_string(1000 + number), random_)),
      url_("http://127.0.1." + std::to_string(number % 200 + 1) + ":" + std::to_string(8088 + number / 200)),
      boot_id_(boot_id_of(number)) {}

TestAnswer FakeAgent::register_agent(bool with_workload) {
  auto registration = cp_.prepare(*agent_);
  registration.request.node_size = node_size;
  registration.request.datacenter = datacenter;
  registration.request.agent_version = version;
  registration.request.boot_id = boot_id_;
  registration.request.direct_url = url_;
  if (node_size == "standard") registration.request.capacity = {.vcpus = 16, .memory_mib = 16384, .disk_mib = 80000};
  if (node_size == "llm") registration.request.capacity = {.vcpus = 8, .memory_mib = 16384, .disk_mib = 80000};
  if (with_workload) registration.request.workload = workload(phase_);
  if (!credential_.empty()) registration.request.previous_credential = credential_;
  const TestAnswer answer = cp_.send(*agent_, registration);
  if (answer.status >= 300) return answer;
  const auto admitted = json::read<agent_api::RegisterAnswer>(answer.body).value();
  id_ = admitted.agent_id;
  registration_id_ = admitted.registration_id;
  trusted_ = admitted.signing_keys.keys;
  const auto secrets = open_sealed(agent_api::registration_seal_context(id_, registration.challenge.challenge_id),
                                   from_base64(admitted.sealed.ciphertext).value(), agent_->sealing_key());
  credential_ = json::read<agent_api::RegistrationSecrets>(secrets.value().reveal()).value().agent_credential;
  seq_ = 0;
  return answer;
}

void FakeAgent::join() {
  const TestAnswer answer = register_agent();
  if (answer.status >= 300) throw std::runtime_error("registration: " + answer.body);
  for (int i = 0; i < 3; ++i) {
    const TestAnswer beaten = beat();
    if (beaten.status != 200) throw std::runtime_error("heartbeat: " + beaten.body);
  }
}

TestAnswer FakeAgent::post(const std::string& path, const std::string& body) {
  cp_.clock.advance(Milliseconds(2100));  // an agent has 30 requests a minute
  return cp_.call("POST", "/api/v1/agents/" + id_ + path, body, {{"Authorization", "Bearer " + credential_}});
}

TestAnswer FakeAgent::beat() {
  agent_api::HeartbeatRequest request{
      .seq = ++seq_,
      .boot_id = boot_id_,
      .sent_at = cp_.clock.now(),
      .agent_version = version,
      .health = {.status = healthy ? agent_api::HealthStatus::healthy : agent_api::HealthStatus::unhealthy,
                 .checks = {}},
      .workload = workload(phase_),
      .tunnel = {.state = agent_api::TunnelLink::connected}};
  return post("/heartbeat", json::write(request));
}

TestAnswer FakeAgent::status(const std::optional<agent_api::WorkloadReport>& workload) {
  return post("/status", json::write(agent_api::StatusRequest{.workload = workload, .at = cp_.clock.now()}));
}

std::optional<agent_api::WorkloadReport> FakeAgent::workload(agent_api::WorkloadPhase phase) const {
  if (!held_) return std::nullopt;
  agent_api::WorkloadReport report{.deployment_id = held_->deployment_id,
                                   .assignment_epoch = held_->assignment_epoch,
                                   .revision = held_->revision,
                                   .phase = phase};
  if (phase == agent_api::WorkloadPhase::running) report.health = workload_health;
  return report;
}

TestAnswer FakeAgent::report(agent_api::WorkloadPhase phase, const std::string& failure) {
  phase_ = phase;
  auto told = workload(phase);
  if (!failure.empty()) told->failure = agent_api::WorkloadFailure{.code = failure, .detail = "scripted"};
  return status(told);
}

TestAnswer FakeAgent::deployed(const std::map<std::string, std::string>& digests) {
  phase_ = agent_api::WorkloadPhase::running;
  agent_api::DeployedRequest request{
      .workload = *workload(phase_), .services = {}, .health_checked_at = cp_.clock.now()};
  for (const auto& [name, digest] : digests)
    request.services.push_back(
        {.name = name, .image = "registry/app@" + digest, .digest = digest, .container_id = "c-" + name});
  return post("/deployed", json::write(request));
}

bool FakeAgent::take(const std::string& body, std::string_view kid, std::string_view signature) {
  const auto key = std::ranges::find(trusted_, kid, &agent_api::SigningKey::kid);
  const auto raw_signature = from_base64(signature);
  if (key == trusted_.end() || !raw_signature || raw_signature->size() != 64) return false;
  const auto raw_key = from_base64(key->public_key).value();
  const auto input = signed_body_input("deployment", id_, registration_id_, bytes_of(body));
  if (!ed25519_verify(raw_key, input, *raw_signature)) return false;
  const auto document = json::read<agent_api::DeploymentDocument>(body);
  if (!document) return false;
  const bool same = held_ && held_->deployment_id == document->deployment_id &&
                    held_->assignment_epoch == document->assignment_epoch && held_->revision == document->revision;
  if (!same) phase_ = agent_api::WorkloadPhase::accepted;
  held_ = *document;
  return true;
}

std::optional<agent_api::DeploymentDocument> FakeAgent::pull() {
  cp_.clock.advance(Milliseconds(2100));
  const TestAnswer answer = cp_.call("GET", "/api/v1/agents/" + id_ + "/desired-deployment", "",
                                     {{"Authorization", "Bearer " + credential_}});
  if (answer.status == 204) {
    held_.reset();
    return std::nullopt;
  }
  if (answer.status != 200) throw std::runtime_error("pull: " + answer.body);
  if (!take(answer.body, answer.header("X-EE-Kid"), answer.header("X-EE-Signature")))
    throw std::runtime_error("a document whose signature or form is wrong");
  return held_;
}

void FakeAgent::reboot() {
  held_.reset();
  agent_ = std::make_unique<EmulatedAgent>(agent_->vm_name(), random_);
  boot_id_ = boot_id_of(cp_.clock.now().time_since_epoch().count() % 100'000'000'000);
}

std::string FakeAgent::secrets() const {
  if (!held_ || !held_->secrets) return "";
  const auto opened =
      open_sealed(agent_api::secrets_seal_context(id_, held_->deployment_id, held_->assignment_epoch, held_->revision),
                  from_base64(held_->secrets->ciphertext).value(), agent_->sealing_key());
  return opened ? opened->reveal() : "does not open";
}

std::vector<std::string> FakeAgent::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::expected<HttpClientResponse, HttpFailure> FakeAgent::answer(const HttpClientRequest& request) {
  const std::lock_guard lock(mutex_);
  const std::string path = request.url.substr(url_.size());
  requests_.push_back(request.method + " " + path.substr(0, path.find('?')));
  if (script.unreachable) return std::unexpected(HttpFailure::connect);
  HttpClientResponse response{.status = 404, .headers = {}, .body = "{}"};
  if (!script.anonymous) response.headers.push_back({"X-EE-Agent", id_});
  if (path.starts_with("/.easyenclave/v1/deployment") && request.method == "PUT") {
    if (script.put_status != 0) {
      response.status = script.put_status;
      response.body = R"({"code":"compose_failed","detail":"scripted"})";
    } else {
      const bool same = held_ && request.body.find(held_->deployment_id) != std::string::npos;
      const bool taken =
          take(request.body, header_of(request.headers, "X-EE-Kid"), header_of(request.headers, "X-EE-Signature"));
      response.status = !taken ? 403 : same ? 200 : 202;
    }
  } else if (path.starts_with("/.easyenclave/v1/deployment") && request.method == "DELETE") {
    response.status = script.delete_status != 0 ? script.delete_status : script.stops_at_once ? 204 : 202;
    if (response.status == 204) held_.reset();
  } else if (path.starts_with("/.easyenclave/v1/logs") && !script.logs.empty()) {
    response.status = 200;
    response.body = script.logs;
    response.headers.push_back({"Content-Type", script.logs_type});
    if (script.logs_break_off) {
      if (request.broken_off != nullptr) *request.broken_off = response;
      return std::unexpected(HttpFailure::protocol);
    }
    if (response.body.size() > request.max_response_bytes) return std::unexpected(HttpFailure::answer_too_large);
  } else if (path.starts_with("/.easyenclave/v1/evidence") && !script.evidence.empty()) {
    response.status = script.evidence_status;
    response.body = script.evidence;
    response.headers.push_back({"Content-Type", "application/json"});
  }
  if (script.drop_answer) return std::unexpected(HttpFailure::timeout);
  return response;
}

FakeAgents::FakeAgents(TestControlPlane& cp) : cp_(cp) {
  cp.http.set_answer([this](const HttpClientRequest& request) { return answer(request); });
}

std::expected<HttpClientResponse, HttpFailure> FakeAgents::answer(const HttpClientRequest& request) {
  for (const auto& agent : agents_)
    if (request.url.starts_with(agent->url() + "/")) return agent->answer(request);
  return std::unexpected(HttpFailure::connect);
}

FakeAgent& FakeAgents::add() {
  agents_.push_back(std::make_unique<FakeAgent>(cp_, static_cast<int>(agents_.size())));
  return *agents_.back();
}

FakeAgent& FakeAgents::by_id(const std::string& id) {
  for (const auto& agent : agents_)
    if (agent->id() == id) return *agent;
  throw std::runtime_error("no such agent");
}

}  // namespace ee::testing
