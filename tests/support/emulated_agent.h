#pragma once
#include <memory>
#include <string>
#include <utility>

#include "attestation/binding.h"
#include "attestation/tsm/emulated_quote.h"
#include "common/ed25519.h"
#include "common/random.h"
#include "common/sealed_box.h"
#include "common/signatures.h"
#include "tests/support/emulator.h"

namespace ee::testing {

/// What an agent's evidence says about itself. Made right by `EmulatedAgent::claims`; a test changes a member to get
/// evidence that was really made, but for something else.
struct EvidenceClaims {
  attestation::Purpose purpose = attestation::Purpose::register_;
  ByteArray<32> nonce{};
  std::string audience;
  std::string vm_name;
  ByteArray<32> signing_key{};
  ByteArray<32> sealing_key{};
};

struct AgentEvidence {
  ByteVector quote;
  std::string quote_base64;
  ByteArray<32> binding{};
  attestation::ReportData report_data;
};

/// The TD's side of a registration, without any agent program around it: the keys of one boot, and quotes by the
/// emulator. One P-256 signature per quote and no state but the keys, so thousands of agents are cheap and threads may
/// share one.
class EmulatedAgent {
 public:
  explicit EmulatedAgent(std::string vm_name, Random& random)
      : vm_name_(std::move(vm_name)),
        signing_key_(Ed25519PrivateKey::generate(random).value()),
        sealing_key_(X25519KeyPair::generate(random).value()) {}

  const std::string& vm_name() const { return vm_name_; }
  const Ed25519PrivateKey& signing_key() const { return signing_key_; }
  const X25519KeyPair& sealing_key() const { return sealing_key_; }

  EvidenceClaims claims(attestation::Purpose purpose, const ByteArray<32>& nonce, std::string audience) const {
    return {.purpose = purpose,
            .nonce = nonce,
            .audience = std::move(audience),
            .vm_name = vm_name_,
            .signing_key = signing_key_.public_key(),
            .sealing_key = sealing_key_.public_key()};
  }

  /// Evidence of an up-to-date TD with the default measurements, or of the one that `spec` describes (its report data
  /// is replaced).
  static AgentEvidence evidence(const EvidenceClaims& claims, attestation::EmulatedQuoteSpec spec = {}) {
    AgentEvidence out;
    out.binding = attestation::agent_binding(claims.signing_key, claims.sealing_key, claims.vm_name);
    out.report_data = attestation::build_report_data(claims.purpose, claims.nonce, out.binding, claims.audience);
    spec.report_data = out.report_data.value;
    out.quote = emulated_quote(spec);
    out.quote_base64 = to_base64(out.quote);
    return out;
  }
  AgentEvidence evidence(attestation::Purpose purpose, const ByteArray<32>& nonce, std::string audience,
                         attestation::EmulatedQuoteSpec spec = {}) const {
    return evidence(claims(purpose, nonce, std::move(audience)), spec);
  }

  /// Value of `X-EE-Agent-Signature`: base64 over method, path, the challenge's id and the body.
  std::string sign_request(std::string_view method, std::string_view path, std::string_view challenge_id,
                           std::string_view body) const {
    return to_base64(signing_key_.sign(request_signature_input(method, path, challenge_id, bytes_of(body))));
  }

 private:
  std::string vm_name_;
  Ed25519PrivateKey signing_key_;
  X25519KeyPair sealing_key_;
};

}  // namespace ee::testing
