#include "cp/service/signing_keys.h"

#include <algorithm>

#include "common/crypto.h"
#include "common/jose.h"
#include "common/require.h"
#include "common/signatures.h"

namespace ee::cp {

SigningKeys::SigningKeys(Ed25519PrivateKey current, const std::vector<ByteArray<32>>& old)
    : current_(std::move(current)), kid_(key_id(current_.public_key())) {
  raw_ = old;
  raw_.push_back(current_.public_key());
  std::ranges::sort(raw_, {}, [](const ByteArray<32>& key) { return key_id(key); });
  const auto doubled = std::ranges::unique(raw_);
  raw_.erase(doubled.begin(), doubled.end());
  for (const auto& key : raw_) published_.push_back({.kid = key_id(key), .public_key = to_base64(key)});
}

std::string SigningKeys::set_hash() const {
  ByteVector all;
  for (const auto& key : raw_) append(all, Bytes(key));
  return to_hex(sha256(all));
}

BodySignature SigningKeys::sign_body(std::string_view kind, std::string_view agent_id, std::string_view registration_id,
                                     std::string_view body) const {
  const ByteVector input = signed_body_input(kind, agent_id, registration_id, bytes_of(body));
  return {.kid = kid_, .signature = to_base64(current_.sign(input))};
}

BodySignature SigningKeys::sign_challenge(Bytes client_nonce, std::string_view body) const {
  const ByteVector input = challenge_signature_input(client_nonce, bytes_of(body));
  return {.kid = kid_, .signature = to_base64(current_.sign(input))};
}

std::string SigningKeys::sign_token(std::string_view typ, std::string_view claims) const {
  auto token = jose::sign_compact(jose::PrivateKey::from_ed25519(current_), jose::Algorithm::eddsa, kid_, typ, claims);
  require(token.has_value());  // an Ed25519 key fits EdDSA
  return std::move(*token);
}

}  // namespace ee::cp
