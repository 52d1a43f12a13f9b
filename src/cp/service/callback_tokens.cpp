#include <fmt/format.h>

#include <charconv>

#include "common/bytes.h"
#include "common/crypto.h"
#include "cp/service/version_measuring.h"

namespace ee::cp {
namespace {

constexpr std::string_view kPrefix = "ee_meas_";

}  // namespace

struct CallbackTokens::Key {
  HmacSha256Key mac;
};

CallbackTokens::CallbackTokens(const Secret& secrets_key) {
  if (secrets_key.empty()) return;
  const auto derived = hkdf_sha256(bytes_of(secrets_key.reveal()), "measurement-callback");
  key_ = std::unique_ptr<Key>(new Key{.mac = HmacSha256Key(derived)});
}
CallbackTokens::~CallbackTokens() = default;

std::string CallbackTokens::make(const std::string& version_id, std::int64_t lease_seq,
                                 UtcTime lease_expires_at) const {
  const std::int64_t expires = unix_ms(lease_expires_at);
  const std::string text = fmt::format("v1|{}|{}|{}", version_id, lease_seq, expires);
  return fmt::format("{}{}.{}", kPrefix, expires, to_base64url(key_->mac.of(bytes_of(text))));
}

bool CallbackTokens::is_good(std::string_view token, const std::string& version_id, std::int64_t lease_seq,
                             UtcTime now) const {
  if (!usable() || token.size() > 128 || !token.starts_with(kPrefix)) return false;
  const std::string_view rest = token.substr(kPrefix.size());
  std::int64_t expires = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), expires);
  if (error != std::errc() || expires < 0) return false;
  const std::string expected = make(version_id, lease_seq, from_unix_ms(expires));
  return constant_time_equal(bytes_of(token), bytes_of(expected)) && from_unix_ms(expires) > now;
}

}  // namespace ee::cp
