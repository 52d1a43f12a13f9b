#include "common/argon2.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <optional>

#include "common/bytes.h"
#include "common/crypto.h"

namespace ee {
namespace {

constexpr std::uint32_t kMaxMemoryKib = 262144;
constexpr std::uint32_t kMaxPasses = 10;
constexpr std::uint32_t kMaxLanes = 4;
constexpr unsigned long long kTokenPasses = 1;
constexpr std::size_t kTokenMemoryBytes = 8192;
constexpr unsigned long long kPasswordPasses = 3;
constexpr std::size_t kPasswordMemoryBytes = 65536UL * 1024;
constexpr std::size_t kMaxPhcBytes = crypto_pwhash_STRBYTES - 1;

std::string unpadded_base64(Bytes bytes) {
  std::string text = to_base64(bytes);
  text.resize(text.find_last_not_of('=') + 1);
  return text;
}

bool is_unpadded_base64(std::string_view text, std::size_t min_bytes, std::size_t max_bytes) {
  std::string padded(text);
  if (padded.find('=') != std::string::npos) return false;
  padded.append((4 - padded.size() % 4) % 4, '=');
  const auto bytes = from_base64(padded);
  return bytes && bytes->size() >= min_bytes && bytes->size() <= max_bytes;
}

/// Takes `prefix` and a decimal number without leading zeros from the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.front() == '0') return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

Result<std::string> hash_token(const Secret& credential, Random& random) {
  require_sodium();
  std::array<std::uint8_t, crypto_pwhash_SALTBYTES> salt{};
  std::array<std::uint8_t, 32> hash{};
  if (!random.fill(salt)) return fail(ErrorCode::internal_error, "random number generator failed");
  const std::string& text = credential.reveal();
  if (crypto_pwhash(hash.data(), hash.size(), text.data(), text.size(), salt.data(), kTokenPasses, kTokenMemoryBytes,
                    crypto_pwhash_ALG_ARGON2ID13) != 0)
    return fail(ErrorCode::internal_error, "out of memory for Argon2");
  return "$argon2id$v=19$m=8,t=1,p=1$" + unpadded_base64(salt) + "$" + unpadded_base64(hash);
}

Result<std::string> hash_password(const Secret& password) {
  require_sodium();
  std::array<char, crypto_pwhash_STRBYTES> out{};
  const std::string& text = password.reveal();
  if (crypto_pwhash_str_alg(out.data(), text.data(), text.size(), kPasswordPasses, kPasswordMemoryBytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0)
    return fail(ErrorCode::internal_error, "out of memory for Argon2");
  return std::string(out.data());
}

bool is_usable_hash(std::string_view phc) {
  constexpr std::string_view kPrefix = "$argon2id$v=19$";
  if (phc.size() > kMaxPhcBytes || !phc.starts_with(kPrefix)) return false;
  std::string_view rest = phc.substr(kPrefix.size());
  const auto memory_kib = take_number(rest, "m=");
  const auto passes = memory_kib ? take_number(rest, ",t=") : std::nullopt;
  const auto lanes = passes ? take_number(rest, ",p=") : std::nullopt;
  if (!lanes || *memory_kib > kMaxMemoryKib || *passes > kMaxPasses || *lanes > kMaxLanes) return false;
  if (*memory_kib < 8 * *lanes || !rest.starts_with('$')) return false;
  rest.remove_prefix(1);
  const std::size_t dollar = rest.find('$');
  return dollar != std::string_view::npos && is_unpadded_base64(rest.substr(0, dollar), 8, 64) &&
         is_unpadded_base64(rest.substr(dollar + 1), 16, 64);
}

HashMatch verify_hash(std::string_view phc, const Secret& secret) {
  if (!is_usable_hash(phc)) return HashMatch::unusable;
  require_sodium();
  const std::string terminated(phc);
  const std::string& text = secret.reveal();
  errno = 0;
  if (crypto_pwhash_str_verify(terminated.c_str(), text.data(), text.size()) == 0) return HashMatch::match;
  return errno == EINVAL ? HashMatch::mismatch : HashMatch::unusable;  // EINVAL: computed, and different
}

}  // namespace ee
