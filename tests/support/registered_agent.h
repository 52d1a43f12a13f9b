#pragma once
#include <stdexcept>
#include <string>
#include <utility>

#include "attestation/tsm/emulated_quote.h"
#include "common/sealed_box.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

/// An agent that a control plane admitted, with what it needs to call its routes.
class RegisteredAgent {
 public:
  RegisteredAgent(TestControlPlane& cp, const std::string& vm_name, attestation::EmulatedQuoteSpec spec = {})
      : agent_(vm_name, cp.random), spec_(spec) {
    register_at(cp);
  }

  /// Registers again with the same keys.
  void register_at(TestControlPlane& cp) {
    const auto registration = cp.prepare(agent_, spec_);
    const TestAnswer answer = cp.send(agent_, registration);
    if (answer.status >= 300) throw std::runtime_error("registration: " + answer.body);
    const auto admitted = json::read<agent_api::RegisterAnswer>(answer.body).value();
    id_ = admitted.agent_id;
    const auto secrets = json::read<agent_api::RegistrationSecrets>(
        open_sealed(agent_api::registration_seal_context(id_, registration.challenge.challenge_id),
                    from_base64(admitted.sealed.ciphertext).value(), agent_.sealing_key())
            .value()
            .reveal());
    credential_ = secrets.value().agent_credential;
  }

  const std::string& id() const { return id_; }
  const std::string& credential() const { return credential_; }
  const EmulatedAgent& agent() const { return agent_; }
  std::string path(const std::string& rest) const { return "/api/v1/agents/" + id_ + rest; }
  std::vector<HttpHeader> bearer() const { return {{"Authorization", "Bearer " + credential_}}; }

  TestAnswer ask_challenge(TestControlPlane& cp) const {
    return cp.call("POST", path("/attestation/challenge"), R"({"client_nonce":")" + std::string(64, 'c') + "\"}",
                   bearer());
  }

  /// A refresh as it should be; a test changes what it wants wrong.
  struct Refresh {
    agent_api::ChallengeAnswer challenge;
    agent_api::RefreshRequest request;
  };
  Refresh prepare_refresh(TestControlPlane& cp, attestation::EmulatedQuoteSpec spec) const {
    const TestAnswer answer = ask_challenge(cp);
    if (answer.status != 200) throw std::runtime_error("challenge: " + answer.body);
    Refresh out{.challenge = json::read<agent_api::ChallengeAnswer>(answer.body).value(), .request = {}};
    const auto nonce = from_hex_exact<32>(out.challenge.nonce).value();
    out.request.challenge = out.challenge.challenge;
    out.request.nonce = out.challenge.nonce;
    out.request.evidence.quote =
        agent_.evidence(attestation::Purpose::refresh, nonce, TestControlPlane::kOrigin, spec).quote_base64;
    return out;
  }
  Refresh prepare_refresh(TestControlPlane& cp) const { return prepare_refresh(cp, spec_); }
  TestAnswer send(TestControlPlane& cp, const Refresh& refresh) const {
    const std::string body = json::write(refresh.request);
    std::vector<HttpHeader> headers = bearer();
    headers.push_back({"X-EE-Agent-Signature",
                       agent_.sign_request("POST", path("/attestation"), refresh.challenge.challenge_id, body)});
    return cp.call("POST", path("/attestation"), body, headers);
  }
  TestAnswer refresh(TestControlPlane& cp) const { return send(cp, prepare_refresh(cp)); }
  TestAnswer refresh(TestControlPlane& cp, attestation::EmulatedQuoteSpec spec) const {
    return send(cp, prepare_refresh(cp, spec));
  }

  /// One column of the agent's row.
  std::string column(TestControlPlane& cp, const std::string& name) const {
    const auto found = cp.values<std::optional<std::string>>(
        "SELECT CAST(" + name + " AS TEXT) FROM agents WHERE id = :id", {{"id", id_}});
    return found.empty() ? "gone" : found.front().value_or("null");
  }

 private:
  EmulatedAgent agent_;
  attestation::EmulatedQuoteSpec spec_;
  std::string id_;
  std::string credential_;
};

}  // namespace ee::testing
