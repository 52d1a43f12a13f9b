#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/signer_set.h"
#include "common/agent_api.h"
#include "common/deployment_document.h"
#include "common/ed25519.h"
#include "common/http_client.h"
#include "common/sealed_box.h"
#include "common/secret.h"

namespace ee::agent {

/// Why a call gave nothing that may be used.
struct CallFailure {
  int status = 0;      ///< of the answer; 0: there was none, or the agent itself refused
  std::string code;    ///< slug of the problem, `http_<status>` when it has none; of the agent's own: `unreachable`,
                       ///< `cancelled`, `bad_answer`, or a slug of the error table (cp_untrusted, ...)
  std::string detail;  ///< for the log
  std::string reason;  ///< member `reason` of a problem (why an agent was deleted), empty when absent
  std::optional<Seconds> retry_after = {};  ///< 0 to 3600 s

  bool is(ErrorCode wanted) const { return code == slug(wanted); }
};
template <class T>
using CallResult = std::expected<T, CallFailure>;
/// A refusal of the agent's own.
[[nodiscard]] std::unexpected<CallFailure> refuse(ErrorCode code, std::string detail);

/// An answer together with what its signature covers. Nothing in `value` may be used before the signature was checked.
template <class T>
struct Signed {
  T value;
  std::string body;
  std::string kid;
  std::string signature;  ///< base64, as sent; both empty when the answer bears none
};

/// A document of a deployment as it came; workload/document.h verifies and reads it.
struct SignedText {
  std::string body;
  std::string kid;
  std::string signature;
};

/// Whom the calls of a registered agent speak for.
struct AgentIdentity {
  std::string agent_id;
  std::string registration_id;
  Secret credential;
};

/// The control plane's agent API. Every call has a time-out and bounds its answer; nothing is retried here, and
/// redirects are not followed. Thread-safe.
class ControlPlaneClient {
 public:
  struct Options {
    std::string origin;   ///< `https://cp.example.com`
    std::string ca_file;  ///< empty: the system's roots
  };
  /// `http` outlives the client.
  ControlPlaneClient(Options options, HttpClient& http) : options_(std::move(options)), http_(http) {}

  const std::string& origin() const { return options_.origin; }

  /// The control plane's own quote over `nonce` (64 hex).
  CallResult<agent_api::ControlPlaneAttestation> attestation(std::string_view nonce, std::stop_token stop);

  CallResult<Signed<agent_api::ChallengeAnswer>> challenge(const agent_api::ChallengeRequest& request,
                                                           std::stop_token stop);
  CallResult<Signed<agent_api::RegisterAnswer>> register_agent(const agent_api::RegisterRequest& request,
                                                               std::string_view challenge_id,
                                                               const Ed25519PrivateKey& signing_key,
                                                               std::stop_token stop);

  CallResult<agent_api::HeartbeatAnswer> heartbeat(const AgentIdentity& self,
                                                   const agent_api::HeartbeatRequest& request, Milliseconds timeout,
                                                   std::stop_token stop);
  CallResult<agent_api::StatusAnswer> status(const AgentIdentity& self, const agent_api::StatusRequest& request,
                                             std::stop_token stop);
  CallResult<agent_api::StatusAnswer> deployed(const AgentIdentity& self, const agent_api::DeployedRequest& request,
                                               std::stop_token stop);
  /// The wanted document. Nothing: none is wanted, or it is the one of `held` (epoch and revision).
  CallResult<std::optional<SignedText>> desired_deployment(
      const AgentIdentity& self, const std::optional<std::pair<std::int64_t, std::int64_t>>& held,
      std::stop_token stop);
  CallResult<Signed<agent_api::TunnelAnswer>> tunnel(const AgentIdentity& self, std::stop_token stop);
  CallResult<Signed<agent_api::SigningKeys>> signing_keys(const AgentIdentity& self, std::stop_token stop);
  CallResult<Signed<agent_api::RotateAnswer>> rotate(const AgentIdentity& self, UtcTime signed_at,
                                                     const Ed25519PrivateKey& signing_key, std::stop_token stop);

  CallResult<Signed<agent_api::ChallengeAnswer>> refresh_challenge(const AgentIdentity& self,
                                                                   const agent_api::RefreshChallengeRequest& request,
                                                                   std::stop_token stop);
  CallResult<agent_api::RefreshAnswer> refresh(const AgentIdentity& self, const agent_api::RefreshRequest& request,
                                               std::string_view challenge_id, const Ed25519PrivateKey& signing_key,
                                               std::stop_token stop);

 private:
  struct Call;
  CallResult<HttpClientResponse> send(const Call& call);

  Options options_;
  HttpClient& http_;
};

/// Checks X-EE-Kid and X-EE-Signature of a challenge. Error: cp_untrusted.
CallResult<void> check_challenge_signature(const SignerSet& signers, Bytes client_nonce,
                                           const Signed<agent_api::ChallengeAnswer>& answer);

/// Checks the signature of a body of `kind` (registration, tunnel, credential, signing-keys) for this agent and
/// registration. Error: cp_untrusted.
template <class T>
CallResult<void> check_body_signature(const SignerSet& signers, std::string_view kind, std::string_view agent_id,
                                      std::string_view registration_id, const Signed<T>& answer);
CallResult<void> check_body_signature(const SignerSet& signers, std::string_view kind, std::string_view agent_id,
                                      std::string_view registration_id, std::string_view body, std::string_view kid,
                                      std::string_view signature);
template <class T>
CallResult<void> check_body_signature(const SignerSet& signers, std::string_view kind, std::string_view agent_id,
                                      std::string_view registration_id, const Signed<T>& answer) {
  return check_body_signature(signers, kind, agent_id, registration_id, answer.body, answer.kid, answer.signature);
}

/// Opens a sealed value; the agent knows beforehand which context it must find. Error: seal_context_mismatch.
CallResult<Secret> open_sealed_value(const agent_api::Sealed& sealed, std::string_view context,
                                     const X25519KeyPair& key);

}  // namespace ee::agent
