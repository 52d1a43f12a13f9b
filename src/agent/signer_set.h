#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/agent_api.h"
#include "common/bytes.h"
#include "common/error.h"

namespace ee::agent {

/// The control plane's Ed25519 keys that an agent believes. Immutable once made.
class SignerSet {
 public:
  SignerSet() = default;
  explicit SignerSet(const std::vector<ByteArray<32>>& keys);
  /// Error: invalid_request when a key is no 32 bytes, or its kid is not that of the key, or two kids are equal.
  static Result<SignerSet> from_wire(const agent_api::SigningKeys& keys);

  bool empty() const { return keys_.empty(); }
  /// Sorted by kid.
  const std::vector<ByteArray<32>>& keys() const { return keys_; }
  /// The key of that id, or null.
  const ByteArray<32>* find(std::string_view kid) const;
  /// Whether the key of that id made `signature` (base64 of 64 bytes) over `message`.
  bool verifies(std::string_view kid, Bytes message, std::string_view signature) const;
  bool operator==(const SignerSet&) const = default;

 private:
  std::vector<ByteArray<32>> keys_;
  std::vector<std::string> kids_;  // of keys_, in its order
};

}  // namespace ee::agent
