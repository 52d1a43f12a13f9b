#pragma once
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/board.h"
#include "attestation/tsm/quote_source.h"
#include "common/agent_api.h"
#include "common/credential.h"
#include "common/ed25519.h"
#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "common/sealed_box.h"
#include "common/signatures.h"

namespace ee::agent::testing {

/// A quote source without a TDX: what it answers holds the report data, so that a test can see what was bound.
class FakeQuoteSource final : public attestation::QuoteSource {
 public:
  Result<ByteVector> generate(const ByteArray<64>& report_data) override {
    const std::lock_guard lock(mutex_);
    ++calls_;
    if (failure_) return fail(*failure_, "scripted");
    ByteVector out(16, 0x51);
    append(out, report_data);
    return out;
  }
  bool emulated() const override { return false; }
  void set_failure(std::optional<ErrorCode> code) {
    const std::lock_guard lock(mutex_);
    failure_ = code;
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<ErrorCode> failure_;
  int calls_ = 0;
};

/// The control plane's side of the agent protocol, true to it (signatures are checked and made, secrets sealed), with
/// knobs for what it should get wrong, and a script of answers that come before its own. Thread-safe.
class FakeControlPlane {
 public:
  using Answer = std::expected<HttpClientResponse, HttpFailure>;
  struct Call {
    std::string what;  ///< `challenge`, `register`, `heartbeat`, ...: the path's end
    SteadyTime at;
    HttpClientRequest request;
  };

  explicit FakeControlPlane(FakeClock& clock)
      : clock_(clock), http_([this](const HttpClientRequest& request) { return handle(request); }) {}

  HttpClient& http() { return http_; }
  static constexpr const char* kOrigin = "https://cp.example.com";
  static constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";

  Ed25519PrivateKey key = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x11));
  Ed25519PrivateKey other_key = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x22));

  // What it says. Change before use, or from an `on_call`.
  struct Knobs {
    std::string audience = kOrigin;
    std::vector<agent_api::EvidenceKind> accept = {agent_api::EvidenceKind::dcap};
    agent_api::EventLogMode event_log = agent_api::EventLogMode::optional;
    bool sign_challenge = true;
    bool challenge_by_other_key = false;
    bool challenge_over_other_nonce = false;
    bool register_by_other_key = false;
    bool seal_to_other_context = false;
    std::int64_t interval_seconds = 5;
    std::optional<Seconds> attestation_due = {};
    agent_api::RegisteredTunnel tunnel{.state = agent_api::TunnelState::placeholder, .version = 1, .hostname = {}};
    std::string tunnel_token = "tunnel-token";
    agent_api::Desired desired = {};
    bool reattest_now = false;
    bool rotate_credential = false;
    std::int64_t signing_keys_version = 3;
    std::vector<Ed25519PrivateKey> more_keys = {};
    std::function<std::optional<std::string>(const ByteArray<32>& sealing_key)> document = {};  ///< wanted; none: 204
    std::string attestation_body = {};  ///< answer of GET /api/v1/attestation; empty: 503
  } knobs;

  /// The next answer to calls whose path ends with `what`, instead of its own.
  void script(const std::string& what, Answer answer) {
    const std::lock_guard lock(mutex_);
    scripts_[what].push_back(std::move(answer));
  }
  void script(const std::string& what, int status, const std::string& code, std::vector<HttpHeader> headers = {},
              const std::string& reason = {}) {
    std::string body = R"({"type":"x","title":"x","status":)" + std::to_string(status) + R"(,"code":")" + code + "\"";
    if (!reason.empty()) body += R"(,"reason":")" + reason + "\"";
    script(what, HttpClientResponse{.status = status, .headers = std::move(headers), .body = body + "}"});
  }
  /// Called with each call before it is answered.
  void on_call(std::function<void(const Call&)> observer) {
    const std::lock_guard lock(mutex_);
    observer_ = std::move(observer);
  }

  std::vector<Call> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<Call> calls(const std::string& what) const {
    std::vector<Call> out;
    for (const Call& call : calls())
      if (call.what == what) out.push_back(call);
    return out;
  }
  std::vector<agent_api::HeartbeatRequest> heartbeats() const {
    std::vector<agent_api::HeartbeatRequest> out;
    for (const Call& call : calls("heartbeat"))
      out.push_back(json::read<agent_api::HeartbeatRequest>(call.request.body).value());
    return out;
  }
  std::vector<agent_api::RegisterRequest> registrations() const {
    std::vector<agent_api::RegisterRequest> out;
    for (const Call& call : calls("register"))
      out.push_back(json::read<agent_api::RegisterRequest>(call.request.body).value());
    return out;
  }
  std::string credential() const {
    const std::lock_guard lock(mutex_);
    return credential_;
  }
  std::string registration_id() const {
    const std::lock_guard lock(mutex_);
    return registration_id_;
  }
  agent_api::SigningKeys signing_keys() const {
    agent_api::SigningKeys out;
    out.version = knobs.signing_keys_version;
    out.keys.push_back(wire(key));
    for (const Ed25519PrivateKey& more : knobs.more_keys) out.keys.push_back(wire(more));
    return out;
  }

 private:
  static agent_api::SigningKey wire(const Ed25519PrivateKey& key) {
    return {.kid = key_id(key.public_key()), .public_key = to_base64(key.public_key())};
  }
  static HttpClientResponse problem(int status, const std::string& code) {
    return {.status = status, .headers = {}, .body = R"({"code":")" + code + R"("})"};
  }
  static std::vector<HttpHeader> signature(const Ed25519PrivateKey& key, const ByteVector& input) {
    return {{"X-EE-Kid", key_id(key.public_key())}, {"X-EE-Signature", to_base64(key.sign(input))}};
  }

  Answer handle(const HttpClientRequest& request) {
    const std::string path =
        request.url.substr(std::string(kOrigin).size(), request.url.find('?') - std::string(kOrigin).size());
    Call call{.what = path.substr(path.rfind('/') + 1), .at = clock_.steady_now(), .request = request};
    if (path.ends_with("/attestation/challenge")) call.what = "refresh_challenge";
    if (path.ends_with("/attestation") && request.method == "POST") call.what = "refresh";
    std::function<void(const Call&)> observer;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
      observer = observer_;
    }
    if (observer) observer(call);
    const std::lock_guard lock(mutex_);
    if (auto& script = scripts_[call.what]; !script.empty()) {
      Answer answer = std::move(script.front());
      script.pop_front();
      return answer;
    }
    if (call.what == "challenge" || call.what == "refresh_challenge")
      return challenge(request, call.what == "challenge");
    if (call.what == "register") return registration(request, path);
    if (call.what == "attestation")
      return knobs.attestation_body.empty()
                 ? problem(503, "cp_attestation_unavailable")
                 : HttpClientResponse{.status = 200, .headers = {}, .body = knobs.attestation_body};
    if (authorization(request) != "Bearer " + credential_) return problem(401, "invalid_credential");
    if (call.what == "heartbeat") return heartbeat();
    if (call.what == "desired-deployment") {
      const auto document = knobs.document ? knobs.document(sealing_key_) : std::nullopt;
      if (!document) return HttpClientResponse{.status = 204, .headers = {}, .body = ""};
      return signed_body("deployment", *document);
    }
    if (call.what == "status" || call.what == "deployed")
      return HttpClientResponse{
          .status = 200, .headers = {}, .body = json::write(agent_api::StatusAnswer{.desired = knobs.desired})};
    if (call.what == "tunnel") return tunnel();
    if (call.what == "signing-keys") return signed_body("signing-keys", json::write(signing_keys()));
    if (call.what == "rotate") return rotate(request, path);
    if (call.what == "refresh") return refresh(request, path);
    return problem(404, "not_found");
  }

  static std::string authorization(const HttpClientRequest& request) { return header(request, "Authorization"); }
  static std::string header(const HttpClientRequest& request, const std::string& name) {
    for (const HttpHeader& h : request.headers)
      if (h.name == name) return h.value;
    return {};
  }
  bool signed_by_agent(const HttpClientRequest& request, const std::string& path,
                       const std::string& challenge_id) const {
    const auto raw = from_base64(header(request, "X-EE-Agent-Signature"));
    return raw &&
           ed25519_verify(signing_key_,
                          request_signature_input(request.method, path, challenge_id, bytes_of(request.body)), *raw);
  }

  Answer challenge(const HttpClientRequest& request, bool registering) {
    std::string client_nonce;
    if (registering) {
      const auto read = json::read<agent_api::ChallengeRequest>(request.body);
      if (!read) return problem(400, "invalid_request");
      client_nonce = read->client_nonce;
    } else {
      const auto read = json::read<agent_api::RefreshChallengeRequest>(request.body);
      if (!read) return problem(400, "invalid_request");
      client_nonce = read->client_nonce;
    }
    ++challenges_;
    challenge_id_ = *new_uuid_v7(clock_.now(), random_);
    ByteArray<32> nonce{};
    (void)random_.fill(nonce);
    nonce_ = to_hex(nonce);
    agent_api::ChallengeAnswer answer{.challenge_id = challenge_id_,
                                      .nonce = nonce_,
                                      .challenge = "challenge-" + std::to_string(challenges_),
                                      .purpose = registering ? "register" : "refresh",
                                      .ttl_seconds = 300,
                                      .expires_at = clock_.now() + std::chrono::seconds(300),
                                      .accept = knobs.accept,
                                      .audience = knobs.audience,
                                      .event_log = knobs.event_log};
    HttpClientResponse out{.status = 200, .headers = {}, .body = json::write(answer)};
    if (!knobs.sign_challenge) return out;
    ByteVector signed_nonce = *from_hex(client_nonce);
    if (knobs.challenge_over_other_nonce) signed_nonce[0] ^= 1;
    out.headers = signature(knobs.challenge_by_other_key ? other_key : key,
                            challenge_signature_input(signed_nonce, bytes_of(out.body)));
    return out;
  }

  Answer registration(const HttpClientRequest& request, const std::string& path) {
    const auto body = json::read<agent_api::RegisterRequest>(request.body);
    if (!body) return problem(400, "invalid_request");
    signing_key_ = *from_base64(body->signing_key);
    const auto sealing = *from_base64(body->sealing_key);
    std::copy(sealing.begin(), sealing.end(), sealing_key_.begin());
    if (!signed_by_agent(request, path, challenge_id_)) return problem(403, "pop_signature_invalid");
    if (body->nonce != nonce_) return problem(403, "nonce_unknown");
    registration_id_ = *new_uuid_v7(clock_.now(), random_);
    credential_ = new_credential(CredentialKind::agent, random_)->text.reveal();
    agent_api::RegistrationSecrets secrets{.agent_credential = credential_, .tunnel_token = {}};
    if (knobs.tunnel.state == agent_api::TunnelState::ready) secrets.tunnel_token = knobs.tunnel_token;
    const auto context = agent_api::registration_seal_context(
        kAgentId, knobs.seal_to_other_context ? "0190a000-0000-7000-8000-0000000000ff" : challenge_id_);
    agent_api::RegisterAnswer answer;
    answer.agent_id = kAgentId;
    answer.registration_id = registration_id_;
    answer.status = "undeployed";
    answer.sealed.ciphertext = to_base64(*seal(context, json::write(secrets), sealing_key_));
    answer.credential_expires_at = clock_.now() + std::chrono::hours(720);
    answer.tunnel = knobs.tunnel;
    answer.signing_keys = signing_keys();
    answer.heartbeat_interval_seconds = knobs.interval_seconds;
    if (knobs.attestation_due) answer.attestation_due_at = clock_.now() + *knobs.attestation_due;
    answer.desired = knobs.desired;
    answer.answered_at = clock_.now();
    return signed_body("registration", json::write(answer), 201, knobs.register_by_other_key ? &other_key : nullptr);
  }

  Answer signed_body(const std::string& kind, std::string body, int status = 200,
                     const Ed25519PrivateKey* by = nullptr) {
    auto headers =
        signature(by != nullptr ? *by : key, signed_body_input(kind, kAgentId, registration_id_, bytes_of(body)));
    return HttpClientResponse{.status = status, .headers = std::move(headers), .body = std::move(body)};
  }

  Answer heartbeat() {
    agent_api::HeartbeatAnswer answer;
    answer.answered_at = clock_.now();
    answer.heartbeat_interval_seconds = knobs.interval_seconds;
    answer.registration_id = registration_id_;
    answer.desired = knobs.desired;
    answer.reattest_now = knobs.reattest_now;
    answer.rotate_credential = knobs.rotate_credential;
    answer.signing_keys_version = knobs.signing_keys_version;
    answer.tunnel = {.state = knobs.tunnel.state, .version = knobs.tunnel.version};
    return HttpClientResponse{.status = 200, .headers = {}, .body = json::write(answer)};
  }

  Answer tunnel() {
    agent_api::TunnelAnswer answer{
        .state = knobs.tunnel.state, .version = knobs.tunnel.version, .hostname = knobs.tunnel.hostname, .sealed = {}};
    if (knobs.tunnel.state == agent_api::TunnelState::ready) {
      const auto context =
          agent_api::tunnel_seal_context(kAgentId, knobs.tunnel.version + (knobs.seal_to_other_context ? 1 : 0));
      const agent_api::TunnelSecrets secrets{.tunnel_token = knobs.tunnel_token};
      answer.sealed = agent_api::Sealed{.ciphertext = to_base64(*seal(context, json::write(secrets), sealing_key_))};
    }
    return signed_body("tunnel", json::write(answer));
  }

  Answer rotate(const HttpClientRequest& request, const std::string& path) {
    const auto body = json::read<agent_api::RotateRequest>(request.body);
    if (!body) return problem(400, "invalid_request");
    if (!signed_by_agent(request, path, to_rfc3339(body->signed_at))) return problem(403, "pop_signature_invalid");
    credential_ = new_credential(CredentialKind::agent, random_)->text.reveal();
    const agent_api::RotatedSecrets secrets{.agent_credential = credential_};
    const auto context = agent_api::credential_seal_context(kAgentId, registration_id_, body->signed_at);
    agent_api::RotateAnswer answer;
    answer.sealed.ciphertext = to_base64(*seal(context, json::write(secrets), sealing_key_));
    answer.credential_expires_at = clock_.now() + std::chrono::hours(720);
    return signed_body("credential", json::write(answer));
  }

  Answer refresh(const HttpClientRequest& request, const std::string& path) {
    const auto body = json::read<agent_api::RefreshRequest>(request.body);
    if (!body) return problem(400, "invalid_request");
    if (!signed_by_agent(request, path, challenge_id_)) return problem(403, "pop_signature_invalid");
    agent_api::RefreshAnswer answer;
    answer.attested_at = clock_.now();
    if (knobs.attestation_due) answer.attestation_due_at = clock_.now() + *knobs.attestation_due;
    answer.tcb_status = "UpToDate";
    return HttpClientResponse{.status = 200, .headers = {}, .body = json::write(answer)};
  }

  FakeClock& clock_;
  FakeRandom random_{99};
  mutable std::mutex mutex_;
  std::map<std::string, std::deque<Answer>> scripts_;
  std::function<void(const Call&)> observer_;
  std::vector<Call> calls_;
  int challenges_ = 0;
  std::string challenge_id_, nonce_, registration_id_, credential_;
  ByteVector signing_key_;
  ByteArray<32> sealing_key_{};
  FakeHttpClient http_;
};

}  // namespace ee::agent::testing
