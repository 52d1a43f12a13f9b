#pragma once
#include <optional>
#include <string>

#include "common/agent_api.h"
#include "common/challenge.h"
#include "common/clock.h"
#include "common/random.h"
#include "cp/service/signing_keys.h"

namespace ee::cp {

/// What settings say of challenges.
struct ChallengePolicy {
  Seconds ttl{300};
  agent_api::EventLogMode event_log = agent_api::EventLogMode::optional;
  bool agent_mints_token = false;  ///< `attestation.ita_minter` is `agent`
};

/// A challenge's answer: the exact body and the signature over it and the asker's own nonce.
struct SignedChallenge {
  std::string body;
  BodySignature signature;
};

/// Gives challenges and reads them back. Giving one stores nothing: a flood of them costs CPU only. Thread-safe.
class ChallengeService {
 public:
  /// `audience`: origin of this control plane, what quotes must name.
  ChallengeService(ChallengeKeys keys, std::string audience, const SigningKeys& signing_keys, Clock& clock,
                   Random& random)
      : keys_(std::move(keys)),
        audience_(std::move(audience)),
        signing_keys_(signing_keys),
        clock_(clock),
        random_(random) {}

  /// For a registration, `agent_id` is empty. `client_nonce` is 64 hexadecimal digits (checked by the caller's schema).
  /// Errors: verifier_unavailable when the CSPRNG fails.
  Result<SignedChallenge> issue(std::uint8_t purpose, const std::string& vm_name, const std::string& agent_id,
                                const std::string& client_nonce, const ChallengePolicy& policy) const;

  const ChallengeKeys& keys() const { return keys_; }
  const std::string& audience() const { return audience_; }

 private:
  ChallengeKeys keys_;
  std::string audience_;
  const SigningKeys& signing_keys_;
  Clock& clock_;
  Random& random_;
};

}  // namespace ee::cp
