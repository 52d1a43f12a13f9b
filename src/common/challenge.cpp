#include "common/challenge.h"

#include <algorithm>

#include "common/crypto.h"
#include "common/id.h"
#include "common/require.h"

namespace ee {
namespace {

constexpr std::string_view kDomain = "easyenclave.challenge.1";
constexpr std::size_t kMacBytes = 32;

void append_big_endian(ByteVector& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

ByteArray<32> mac_of(Bytes body, const ByteArray<32>& key) {
  ByteVector covered;
  covered.reserve(kDomain.size() + 1 + body.size());
  append(covered, kDomain);
  covered.push_back(0);
  append(covered, body);
  return hmac_sha256(key, covered);
}

ByteVector body_of(const Challenge& challenge) {
  const auto id = uuid_bytes(challenge.id);
  const auto agent = challenge.agent_id.empty() ? std::nullopt : uuid_bytes(challenge.agent_id);
  require(id.has_value() && agent.has_value() == !challenge.agent_id.empty());
  require(!challenge.vm_name.empty() && challenge.vm_name.size() <= 63);
  require(!challenge.audience.empty() && challenge.audience.size() <= 255);
  ByteVector body;
  append(body, *id);
  append(body, challenge.nonce);
  body.push_back(challenge.purpose);
  body.push_back(static_cast<std::uint8_t>(challenge.vm_name.size()));
  append(body, challenge.vm_name);
  body.push_back(agent ? 16 : 0);
  if (agent) append(body, *agent);
  append_big_endian(body, challenge.audience.size(), 2);
  append(body, challenge.audience);
  append_big_endian(body, static_cast<std::uint64_t>(unix_ms(challenge.expires_at)), 8);
  return body;
}

/// Takes fields from the front; once one is missing, everything after is too.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}
  Bytes take(std::size_t size) {
    if (size > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const Bytes out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }
  std::uint64_t take_number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : take(bytes)) value = value << 8U | byte;
    return value;
  }
  template <std::size_t N>
  ByteArray<N> take_array() {
    ByteArray<N> out{};
    std::ranges::copy(take(N), out.begin());
    return out;
  }
  bool read_all() const { return !failed_ && rest_.empty(); }

 private:
  Bytes rest_;
  bool failed_ = false;
};

std::optional<Challenge> parse_body(Bytes body) {
  Reader reader(body);
  Challenge out;
  out.id = uuid_text(reader.take_array<16>());
  out.nonce = reader.take_array<32>();
  out.purpose = static_cast<std::uint8_t>(reader.take_number(1));
  out.vm_name = text_of(reader.take(reader.take_number(1)));
  const std::uint64_t agent_bytes = reader.take_number(1);
  if (agent_bytes == 16)
    out.agent_id = uuid_text(reader.take_array<16>());
  else if (agent_bytes != 0)
    return std::nullopt;
  out.audience = text_of(reader.take(reader.take_number(2)));
  out.expires_at = from_unix_ms(static_cast<std::int64_t>(reader.take_number(8)));
  if (!reader.read_all()) return std::nullopt;
  return out;
}

bool mac_fits(Bytes body, Bytes mac, const ChallengeKeys& keys, UtcTime now) {
  if (constant_time_equal(mac_of(body, keys.current), mac)) return true;
  if (now >= keys.old_until) return false;
  return std::ranges::any_of(keys.old, [&](const auto& key) { return constant_time_equal(mac_of(body, key), mac); });
}

}  // namespace

ByteArray<32> challenge_key(Bytes secrets_key) { return hkdf_sha256(secrets_key, kDomain); }

std::string encode_challenge(const Challenge& challenge, const ByteArray<32>& key) {
  ByteVector bytes = body_of(challenge);
  append(bytes, mac_of(bytes, key));
  return to_base64url(bytes);
}

Result<Challenge> decode_challenge(std::string_view text, std::string_view nonce_hex, const ChallengeKeys& keys,
                                   UtcTime now) {
  const auto unknown = [] { return fail(ErrorCode::nonce_unknown); };
  if (text.size() > kMaxChallengeChars || !is_lower_hex(nonce_hex, 64)) return unknown();
  const auto bytes = from_base64url(text);
  if (!bytes || bytes->size() <= kMacBytes) return unknown();
  const Bytes body = Bytes(*bytes).first(bytes->size() - kMacBytes);
  if (!mac_fits(body, Bytes(*bytes).last(kMacBytes), keys, now)) return unknown();
  auto challenge = parse_body(body);
  const auto nonce = from_hex_exact<32>(nonce_hex);
  if (!challenge || !nonce || !constant_time_equal(*nonce, challenge->nonce)) return unknown();
  return std::move(*challenge);
}

Result<void> check_challenge_time(const Challenge& challenge, UtcTime now, std::optional<UtcTime> restored_at) {
  if (now >= challenge.expires_at) return fail(ErrorCode::nonce_expired);
  const auto made_at = uuid_v7_time(challenge.id);
  if (!made_at || (restored_at && *made_at < *restored_at)) return fail(ErrorCode::nonce_expired);
  return {};
}

Result<void> check_challenge_context(const Challenge& challenge, const ChallengeContext& context) {
  if (challenge.purpose != context.purpose || challenge.vm_name != context.vm_name ||
      challenge.agent_id != context.agent_id || challenge.audience != context.audience)
    return fail(ErrorCode::nonce_context_mismatch);
  return {};
}

std::string nonce_hash(const ByteArray<32>& nonce) { return to_hex(sha256(nonce)); }

std::string nonce_id(const ByteArray<32>& nonce) { return nonce_hash(nonce).substr(0, 16); }

}  // namespace ee
