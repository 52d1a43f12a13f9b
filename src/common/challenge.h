#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/error.h"
#include "common/time.h"

namespace ee {

/// Most characters of an encoded challenge: every part at its longest.
constexpr std::size_t kMaxChallengeChars = 570;

/// What the control plane promised a requester, carried by the requester itself under a MAC: giving a challenge stores
/// nothing. That a nonce is used once is the store's part.
struct Challenge {
  std::string id;  ///< UUIDv7, canonical text; its time is when the challenge was made
  ByteArray<32> nonce{};
  std::uint8_t purpose = 0;  ///< 1 register, 2 refresh (attestation::Purpose)
  std::string vm_name;       ///< 1..63
  std::string agent_id;      ///< UUID text for a refresh, empty for a registration
  std::string audience;      ///< 1..255, origin of the control plane
  UtcTime expires_at;
  bool operator==(const Challenge&) const = default;
};

/// Keys that challenge MACs are made and checked with. The old ones count until `old_until`, one TTL after the start:
/// who knows such a key can choose nonces.
struct ChallengeKeys {
  ByteArray<32> current{};
  std::vector<ByteArray<32>> old = {};
  UtcTime old_until{};
};

/// HKDF-SHA256 of a secrets key with info "easyenclave.challenge.1".
ByteArray<32> challenge_key(Bytes secrets_key);

/// base64url(body ‖ HMAC-SHA256). Requires parts within the lengths above.
std::string encode_challenge(const Challenge& challenge, const ByteArray<32>& key);

/// Reads a challenge back: strict base64url, no byte missing or left over, MAC of a key in force at `now` (constant
/// time), and `nonce_hex` (64 lower-case hexadecimal digits) is the one inside. Error: nonce_unknown.
Result<Challenge> decode_challenge(std::string_view text, std::string_view nonce_hex, const ChallengeKeys& keys,
                                   UtcTime now);

/// `now` is before expires_at, and the challenge was not made before the last restore of the database, which has
/// forgotten which nonces were used. Error: nonce_expired.
Result<void> check_challenge_time(const Challenge& challenge, UtcTime now, std::optional<UtcTime> restored_at);

/// What the request and this control plane themselves say.
struct ChallengeContext {
  std::uint8_t purpose = 0;
  std::string_view vm_name;
  std::string_view agent_id;  ///< empty for a registration
  std::string_view audience;
};
/// Error: nonce_context_mismatch.
Result<void> check_challenge_context(const Challenge& challenge, const ChallengeContext& context);

/// SHA-256 of the nonce in hexadecimal: the only form in which a nonce is stored.
std::string nonce_hash(const ByteArray<32>& nonce);
/// The first 16 digits of it: the only form in logs and audit.
std::string nonce_id(const ByteArray<32>& nonce);

}  // namespace ee
