#pragma once
#include <string>
#include <vector>

#include "common/agent_api.h"
#include "common/bytes.h"
#include "common/ed25519.h"
#include "common/error.h"

namespace ee::cp {

/// The headers X-EE-Kid and X-EE-Signature of a signed answer.
struct BodySignature {
  std::string kid;
  std::string signature;  ///< base64 of 64 bytes
};

/// The control plane's Ed25519 identity: the key that signs, and the published set (its public half and the old or
/// coming keys) that agents trust and that the control plane's own quote binds. Immutable; thread-safe.
class SigningKeys {
 public:
  /// `old` are raw public keys of 32 bytes that are published beside `current`'s; doubles are dropped.
  SigningKeys(Ed25519PrivateKey current, const std::vector<ByteArray<32>>& old);

  const std::string& kid() const { return kid_; }
  /// Sorted by kid.
  const std::vector<agent_api::SigningKey>& published() const { return published_; }
  /// The raw keys in the same order, as the binding of the control plane's quote wants them.
  const std::vector<ByteArray<32>>& published_raw() const { return raw_; }
  /// SHA-256 over the published set in hexadecimal: another value means another set.
  std::string set_hash() const;

  /// Over `"ee-signed-v1" ‖ kind ‖ agent_id ‖ registration_id ‖ body` (common/signatures.h).
  BodySignature sign_body(std::string_view kind, std::string_view agent_id, std::string_view registration_id,
                          std::string_view body) const;
  /// Over `"ee-challenge-v1" ‖ client_nonce ‖ body`. Requires a client nonce of 32 bytes.
  BodySignature sign_challenge(Bytes client_nonce, std::string_view body) const;
  /// A compact JWS (EdDSA) of this `typ` over `claims`, a JSON object.
  std::string sign_token(std::string_view typ, std::string_view claims) const;

 private:
  Ed25519PrivateKey current_;
  std::string kid_;
  std::vector<agent_api::SigningKey> published_;
  std::vector<ByteArray<32>> raw_;
};

}  // namespace ee::cp
