#include "agent/control_plane_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "agent/proc_text.h"
#include "agent/version.h"
#include "common/json.h"
#include "common/signatures.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kConnectTimeout = 5s;
constexpr Milliseconds kShortTimeout = 15s;
constexpr Milliseconds kQuoteTimeout = 45s;      // the other side makes a quote
constexpr Milliseconds kJudgementTimeout = 90s;  // it verifies one (up to 60 s) and makes a tunnel (up to 8 s)
constexpr std::size_t kSmallAnswer = 64UL * 1024;
constexpr std::size_t kLargeAnswer = 1024UL * 1024;
constexpr std::int64_t kMostRetryAfterSeconds = 3600;

bool is_slug(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::string text_of_member(const boost::json::object& object, std::string_view name, std::size_t max_bytes) {
  const auto* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_string()) return {};
  const auto& text = value->get_string();
  return std::string(text.data(), std::min(text.size(), max_bytes));
}

/// What an answer that is no success says. Never fails: a body that is no problem document still has its status.
CallFailure failure_of(const HttpClientResponse& answer) {
  CallFailure out{.status = answer.status, .code = fmt::format("http_{}", answer.status), .detail = {}, .reason = {}};
  const auto body = json::parse(answer.body, {.max_bytes = kSmallAnswer, .max_depth = 8, .max_nodes = 1000});
  if (body && body->is_object()) {
    const std::string code = text_of_member(body->get_object(), "code", 64);
    if (is_slug(code)) out.code = code;
    out.detail = text_of_member(body->get_object(), "detail", 512);
    const std::string reason = text_of_member(body->get_object(), "reason", 64);
    if (is_slug(reason)) out.reason = reason;
  }
  if (const auto header = answer.header("Retry-After"))
    if (const auto seconds = decimal(trimmed(*header)))
      out.retry_after = Seconds(std::min(*seconds, kMostRetryAfterSeconds));
  return out;
}

std::unexpected<CallFailure> bad_answer(const Error& error) {
  std::string detail = error.detail;
  for (const FieldError& field : error.fields) detail += fmt::format("; {}: {}", field.field, field.code);
  return std::unexpected(CallFailure{.code = "bad_answer", .detail = std::move(detail), .reason = {}});
}

template <class T>
CallResult<T> read_answer(const CallResult<HttpClientResponse>& answer) {
  if (!answer) return std::unexpected(answer.error());
  auto value = json::read<T>(answer->body);
  if (!value) return bad_answer(value.error());
  return std::move(*value);
}

template <class T>
CallResult<Signed<T>> read_signed(CallResult<HttpClientResponse> answer) {
  auto value = read_answer<T>(answer);
  if (!value) return std::unexpected(std::move(value.error()));
  Signed<T> out{.value = std::move(*value),
                .body = {},
                .kid = std::string(answer->header(agent_api::kKidHeader).value_or("")),
                .signature = std::string(answer->header(agent_api::kSignatureHeader).value_or(""))};
  out.body = std::move(answer->body);
  return out;
}

std::string agent_path(const AgentIdentity& self, std::string_view rest) {
  return fmt::format("/api/v1/agents/{}/{}", self.agent_id, rest);
}

}  // namespace

struct ControlPlaneClient::Call {
  std::string_view method = "GET";
  std::string path;
  std::string query = {};
  std::string body = {};
  const Secret* credential = nullptr;
  std::string signature = {};  ///< X-EE-Agent-Signature
  Milliseconds timeout = kShortTimeout;
  std::size_t max_answer = kSmallAnswer;
  bool may_be_empty = false;  ///< 204 and 304 are answers too
  std::stop_token stop;

  void sign(const Ed25519PrivateKey& key, std::string_view challenge_id) {
    signature = to_base64(key.sign(request_signature_input(method, path, challenge_id, bytes_of(body))));
  }
};

std::unexpected<CallFailure> refuse(ErrorCode code, std::string detail) {
  return std::unexpected(CallFailure{.code = std::string(slug(code)), .detail = std::move(detail), .reason = {}});
}

CallResult<HttpClientResponse> ControlPlaneClient::send(const Call& call) {
  HttpClientRequest request{.method = std::string(call.method),
                            .url = options_.origin + call.path + call.query,
                            .body = call.body,
                            .connect_timeout = std::min(kConnectTimeout, call.timeout),
                            .total_timeout = call.timeout,
                            .max_response_bytes = call.max_answer,
                            .ca_file = options_.ca_file,
                            .stop = call.stop};
  request.headers = {{"Accept", "application/json"}, {"User-Agent", fmt::format("ee-agent/{}", kAgentVersion)}};
  if (call.method != "GET") request.headers.push_back({"Content-Type", "application/json"});
  if (call.credential != nullptr) request.headers.push_back({"Authorization", "Bearer " + call.credential->reveal()});
  if (!call.signature.empty())
    request.headers.push_back({std::string(agent_api::kAgentSignatureHeader), call.signature});

  auto answer = http_.send(request);
  wipe(request.body);
  for (HttpHeader& header : request.headers) wipe(header.value);
  if (!answer) {
    const bool cancelled = answer.error() == HttpFailure::cancelled;
    return std::unexpected(CallFailure{.code = cancelled ? "cancelled" : "unreachable",
                                       .detail = std::string(to_string(answer.error())),
                                       .reason = {}});
  }
  const bool empty_allowed = call.may_be_empty && (answer->status == 204 || answer->status == 304);
  if (answer->status != 200 && answer->status != 201 && !empty_allowed) return std::unexpected(failure_of(*answer));
  return std::move(*answer);
}

CallResult<agent_api::ControlPlaneAttestation> ControlPlaneClient::attestation(std::string_view nonce,
                                                                               std::stop_token stop) {
  return read_answer<agent_api::ControlPlaneAttestation>(send({.path = "/api/v1/attestation",
                                                               .query = fmt::format("?nonce={}", nonce),
                                                               .timeout = kQuoteTimeout,
                                                               .max_answer = kLargeAnswer,
                                                               .stop = std::move(stop)}));
}

CallResult<Signed<agent_api::ChallengeAnswer>> ControlPlaneClient::challenge(const agent_api::ChallengeRequest& request,
                                                                             std::stop_token stop) {
  return read_signed<agent_api::ChallengeAnswer>(send(
      {.method = "POST", .path = "/api/v1/agents/challenge", .body = json::write(request), .stop = std::move(stop)}));
}

CallResult<Signed<agent_api::RegisterAnswer>> ControlPlaneClient::register_agent(
    const agent_api::RegisterRequest& request, std::string_view challenge_id, const Ed25519PrivateKey& signing_key,
    std::stop_token stop) {
  Call call{.method = "POST",
            .path = "/api/v1/agents/register",
            .body = json::write(request),
            .timeout = kJudgementTimeout,
            .max_answer = kLargeAnswer,
            .stop = std::move(stop)};
  call.sign(signing_key, challenge_id);
  auto answer = read_signed<agent_api::RegisterAnswer>(send(call));
  wipe(call.body);  // it holds the bootstrap token and the former credential
  return answer;
}

CallResult<agent_api::HeartbeatAnswer> ControlPlaneClient::heartbeat(const AgentIdentity& self,
                                                                     const agent_api::HeartbeatRequest& request,
                                                                     Milliseconds timeout, std::stop_token stop) {
  return read_answer<agent_api::HeartbeatAnswer>(send({.method = "POST",
                                                       .path = agent_path(self, "heartbeat"),
                                                       .body = json::write(request),
                                                       .credential = &self.credential,
                                                       .timeout = timeout,
                                                       .stop = std::move(stop)}));
}

CallResult<agent_api::StatusAnswer> ControlPlaneClient::status(const AgentIdentity& self,
                                                               const agent_api::StatusRequest& request,
                                                               std::stop_token stop) {
  return read_answer<agent_api::StatusAnswer>(send({.method = "POST",
                                                    .path = agent_path(self, "status"),
                                                    .body = json::write(request),
                                                    .credential = &self.credential,
                                                    .stop = std::move(stop)}));
}

CallResult<agent_api::StatusAnswer> ControlPlaneClient::deployed(const AgentIdentity& self,
                                                                 const agent_api::DeployedRequest& request,
                                                                 std::stop_token stop) {
  return read_answer<agent_api::StatusAnswer>(send({.method = "POST",
                                                    .path = agent_path(self, "deployed"),
                                                    .body = json::write(request),
                                                    .credential = &self.credential,
                                                    .stop = std::move(stop)}));
}

CallResult<std::optional<SignedText>> ControlPlaneClient::desired_deployment(
    const AgentIdentity& self, const std::optional<std::pair<std::int64_t, std::int64_t>>& held, std::stop_token stop) {
  auto answer = send({.path = agent_path(self, "desired-deployment"),
                      .query = held ? fmt::format("?epoch={}&revision={}", held->first, held->second) : std::string(),
                      .credential = &self.credential,
                      .max_answer = agent_api::kMaxDocumentBytes,
                      .may_be_empty = true,
                      .stop = std::move(stop)});
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != 200) return std::optional<SignedText>();
  SignedText out{.body = {},
                 .kid = std::string(answer->header(agent_api::kKidHeader).value_or("")),
                 .signature = std::string(answer->header(agent_api::kSignatureHeader).value_or(""))};
  out.body = std::move(answer->body);
  return out;
}

CallResult<Signed<agent_api::TunnelAnswer>> ControlPlaneClient::tunnel(const AgentIdentity& self,
                                                                       std::stop_token stop) {
  return read_signed<agent_api::TunnelAnswer>(send({.path = agent_path(self, "tunnel"),
                                                    .credential = &self.credential,
                                                    .max_answer = kLargeAnswer,
                                                    .stop = std::move(stop)}));
}

CallResult<Signed<agent_api::SigningKeys>> ControlPlaneClient::signing_keys(const AgentIdentity& self,
                                                                            std::stop_token stop) {
  return read_signed<agent_api::SigningKeys>(
      send({.path = agent_path(self, "signing-keys"), .credential = &self.credential, .stop = std::move(stop)}));
}

CallResult<Signed<agent_api::RotateAnswer>> ControlPlaneClient::rotate(const AgentIdentity& self, UtcTime signed_at,
                                                                       const Ed25519PrivateKey& signing_key,
                                                                       std::stop_token stop) {
  Call call{.method = "POST",
            .path = agent_path(self, "credential/rotate"),
            .body = json::write(agent_api::RotateRequest{.signed_at = signed_at}),
            .credential = &self.credential,
            .max_answer = kLargeAnswer,
            .stop = std::move(stop)};
  call.sign(signing_key, to_rfc3339(signed_at));
  return read_signed<agent_api::RotateAnswer>(send(call));
}

CallResult<Signed<agent_api::ChallengeAnswer>> ControlPlaneClient::refresh_challenge(
    const AgentIdentity& self, const agent_api::RefreshChallengeRequest& request, std::stop_token stop) {
  return read_signed<agent_api::ChallengeAnswer>(send({.method = "POST",
                                                       .path = agent_path(self, "attestation/challenge"),
                                                       .body = json::write(request),
                                                       .credential = &self.credential,
                                                       .stop = std::move(stop)}));
}

CallResult<agent_api::RefreshAnswer> ControlPlaneClient::refresh(const AgentIdentity& self,
                                                                 const agent_api::RefreshRequest& request,
                                                                 std::string_view challenge_id,
                                                                 const Ed25519PrivateKey& signing_key,
                                                                 std::stop_token stop) {
  Call call{.method = "POST",
            .path = agent_path(self, "attestation"),
            .body = json::write(request),
            .credential = &self.credential,
            .timeout = kJudgementTimeout,
            .stop = std::move(stop)};
  call.sign(signing_key, challenge_id);
  return read_answer<agent_api::RefreshAnswer>(send(call));
}

CallResult<void> check_challenge_signature(const SignerSet& signers, Bytes client_nonce,
                                           const Signed<agent_api::ChallengeAnswer>& answer) {
  if (!signers.verifies(answer.kid, challenge_signature_input(client_nonce, bytes_of(answer.body)), answer.signature))
    return refuse(ErrorCode::cp_untrusted, "the challenge is not signed by a trusted key");
  return {};
}

CallResult<void> check_body_signature(const SignerSet& signers, std::string_view kind, std::string_view agent_id,
                                      std::string_view registration_id, std::string_view body, std::string_view kid,
                                      std::string_view signature) {
  if (!signers.verifies(kid, signed_body_input(kind, agent_id, registration_id, bytes_of(body)), signature))
    return refuse(ErrorCode::cp_untrusted, fmt::format("the {} answer is not signed by a trusted key", kind));
  return {};
}

CallResult<Secret> open_sealed_value(const agent_api::Sealed& sealed, std::string_view context,
                                     const X25519KeyPair& key) {
  const auto ciphertext = from_base64(sealed.ciphertext);
  if (!ciphertext) return refuse(ErrorCode::seal_context_mismatch, "the sealed value is no base64");
  auto opened = open_sealed(context, *ciphertext, key);
  if (!opened) return refuse(opened.error().code, opened.error().detail);
  return std::move(*opened);
}

}  // namespace ee::agent
