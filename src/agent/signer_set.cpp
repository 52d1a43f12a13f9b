#include "agent/signer_set.h"

#include <algorithm>

#include "common/ed25519.h"

namespace ee::agent {

SignerSet::SignerSet(const std::vector<ByteArray<32>>& keys) : keys_(keys) {
  std::ranges::sort(keys_, {}, [](const ByteArray<32>& key) { return key_id(key); });
  keys_.erase(std::ranges::unique(keys_).begin(), keys_.end());
  for (const auto& key : keys_) kids_.push_back(key_id(key));
}

Result<SignerSet> SignerSet::from_wire(const agent_api::SigningKeys& wire) {
  std::vector<ByteArray<32>> keys;
  for (const agent_api::SigningKey& entry : wire.keys) {
    const auto raw = from_base64(entry.public_key);
    if (!raw || raw->size() != 32) return fail(ErrorCode::invalid_request, "a signing key is not 32 bytes");
    if (key_id(*raw) != entry.kid) return fail(ErrorCode::invalid_request, "a signing key has another key's id");
    std::ranges::copy(*raw, keys.emplace_back().begin());
  }
  SignerSet set(keys);
  if (set.empty() || set.keys_.size() != keys.size())
    return fail(ErrorCode::invalid_request, "signing keys are missing or repeated");
  return set;
}

const ByteArray<32>* SignerSet::find(std::string_view kid) const {
  const auto found = std::ranges::find(kids_, kid);
  return found == kids_.end() ? nullptr : &keys_[static_cast<std::size_t>(found - kids_.begin())];
}

bool SignerSet::verifies(std::string_view kid, Bytes message, std::string_view signature) const {
  const ByteArray<32>* key = find(kid);
  if (key == nullptr || signature.size() != 88) return false;  // base64 of 64 bytes
  const auto raw = from_base64(signature);
  return raw && ed25519_verify(*key, message, *raw);
}

}  // namespace ee::agent
