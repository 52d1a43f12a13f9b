#include "common/credential.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/require.h"

namespace ee {
namespace {

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kLookupChars = 16;
constexpr std::size_t kSecretChars = 43;
constexpr std::size_t kCrcChars = 6;
constexpr std::array<std::string_view, 6> kKinds = {"live", "sess", "agent", "boot", "enroll", "svc"};

constexpr bool is_base62(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
constexpr bool is_base32(char c) { return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7'); }

std::array<char, kCrcChars> crc_text(std::string_view covered) {
  std::array<char, kCrcChars> out{};
  std::uint32_t value = crc32(bytes_of(covered));
  for (std::size_t i = kCrcChars; i-- > 0; value /= 62) out[i] = kBase62[value % 62];
  return out;
}

/// 43 characters, each equally likely: bytes of 248 and more are dropped, so that 62 divides what is left.
bool append_secret(std::string& text, Random& random) {
  std::array<std::uint8_t, 64> pool{};
  std::size_t missing = kSecretChars;
  while (missing > 0) {
    if (!random.fill(pool)) return false;
    for (const std::uint8_t byte : pool) {
      if (byte >= 248 || missing == 0) continue;
      text.push_back(kBase62[byte % 62]);
      --missing;
    }
  }
  return true;
}

}  // namespace

std::string_view to_string(CredentialKind kind) { return kKinds.at(static_cast<std::size_t>(kind)); }

Result<Credential> new_credential(CredentialKind kind, Random& random) {
  const auto failed = [] { return fail(ErrorCode::internal_error, "random number generator failed"); };
  std::array<std::uint8_t, kLookupChars> bits{};
  if (!random.fill(bits)) return failed();
  std::string lookup;
  for (const std::uint8_t byte : bits) lookup.push_back(kBase32[byte % 32]);
  std::string text;
  text.reserve(96);  // never reallocated, which would leave a copy behind
  text.append("ee_").append(to_string(kind)).append("_").append(lookup).append("_");
  if (!append_secret(text, random)) {
    wipe(text);
    return failed();
  }
  const auto crc = crc_text(text);
  text.append(crc.data(), crc.size());
  Credential credential{.kind = kind, .lookup = std::move(lookup), .text = Secret(std::move(text))};
  return credential;
}

std::optional<Credential> parse_credential(std::string_view text) {
  if (!text.starts_with("ee_")) return std::nullopt;
  std::string_view rest = text.substr(3);
  const std::size_t kind_end = rest.find('_');
  if (kind_end == std::string_view::npos) return std::nullopt;
  const auto* const kind = std::ranges::find(kKinds, rest.substr(0, kind_end));
  if (kind == kKinds.end()) return std::nullopt;
  rest.remove_prefix(kind_end + 1);
  if (rest.size() != kLookupChars + 1 + kSecretChars + kCrcChars || rest[kLookupChars] != '_') return std::nullopt;
  const std::string_view lookup = rest.substr(0, kLookupChars);
  const std::string_view secret = rest.substr(kLookupChars + 1);
  if (!std::ranges::all_of(lookup, is_base32) || !std::ranges::all_of(secret, is_base62)) return std::nullopt;
  const auto crc = crc_text(text.substr(0, text.size() - kCrcChars));
  if (secret.substr(kSecretChars) != std::string_view(crc.data(), crc.size())) return std::nullopt;
  return Credential{.kind = static_cast<CredentialKind>(kind - kKinds.begin()),
                    .lookup = std::string(lookup),
                    .text = Secret(std::string(text))};
}

}  // namespace ee
