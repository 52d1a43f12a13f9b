#include "common/bytes.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "common/base64_size.h"

namespace ee {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::int8_t, 256> reverse_of(std::string_view alphabet) {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  return table;
}
constexpr auto kStandardReverse = reverse_of(kStandard);
constexpr auto kUrlSafeReverse = reverse_of(kUrlSafe);

std::string encode(Bytes bytes, std::string_view alphabet, bool padding) {
  std::string out((bytes.size() + 2) / 3 * 4, '=');
  std::size_t at = 0;
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t group =
        static_cast<std::uint32_t>(bytes[i]) << 16U | static_cast<std::uint32_t>(bytes[i + 1]) << 8U | bytes[i + 2];
    for (const unsigned shift : {18U, 12U, 6U, 0U}) out[at++] = alphabet[(group >> shift) & 63U];
  }
  const std::size_t left = bytes.size() - i;
  if (left > 0) {
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16U;
    if (left > 1) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8U;
    for (std::size_t k = 0; k <= left; ++k)
      out[at++] = alphabet[(group >> (18U - 6U * static_cast<unsigned>(k))) & 63U];
  }
  if (!padding) out.resize(at);
  return out;
}

/// Four characters as 24 bits; above them when one is not of the alphabet.
std::uint32_t group_of(const char* text, const std::array<std::int8_t, 256>& reverse) {
  const auto value = [&](int i) {
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(reverse[static_cast<unsigned char>(text[i])]));
  };
  return value(0) << 18U | value(1) << 12U | value(2) << 6U | value(3);  // -1 sets the top bits wherever it stands
}
constexpr std::uint32_t kMaxGroup = 0xffffff;

/// The last, incomplete group: two or three characters are one or two bytes. Unused bits must be zero, so that each
/// value has one encoding.
std::optional<std::uint32_t> last_group(std::string_view text, const std::array<std::int8_t, 256>& reverse) {
  std::uint32_t group = 0;
  for (const char c : text) {
    const std::int8_t value = reverse[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    group = group << 6U | static_cast<std::uint32_t>(value);
  }
  const unsigned unused = text.size() == 2 ? 4 : 2;
  if ((group & ((1U << unused) - 1U)) != 0) return std::nullopt;
  return group >> unused;
}

/// `text` has no padding any more.
std::optional<ByteVector> decode(std::string_view text, const std::array<std::int8_t, 256>& reverse) {
  const std::size_t rest = text.size() % 4;
  if (rest == 1) return std::nullopt;
  ByteVector out(text.size() / 4 * 3 + (rest == 0 ? 0 : rest - 1));
  std::uint8_t* to = out.data();
  std::size_t i = 0;
  for (; i + 4 <= text.size(); i += 4) {
    const std::uint32_t group = group_of(text.data() + i, reverse);
    if (group > kMaxGroup) return std::nullopt;
    *to++ = static_cast<std::uint8_t>(group >> 16U);
    *to++ = static_cast<std::uint8_t>(group >> 8U);
    *to++ = static_cast<std::uint8_t>(group);
  }
  if (rest == 0) return out;
  const auto last = last_group(text.substr(i), reverse);
  if (!last) return std::nullopt;
  if (rest == 3) *to++ = static_cast<std::uint8_t>(*last >> 8U);
  *to = static_cast<std::uint8_t>(*last);
  return out;
}

/// 1 for a character outside the standard alphabet, else 0. Ranges instead of a table, bytes all through and no branch:
/// compilers make vectors of it.
constexpr std::uint8_t is_foreign(std::uint8_t c) {
  const std::uint8_t letter = static_cast<std::uint8_t>((c | 0x20U) - 'a') < 26 ? 1 : 0;
  const std::uint8_t slash_or_digit = static_cast<std::uint8_t>(c - '/') < 11 ? 1 : 0;  // `/` stands in front of `0`
  const std::uint8_t plus = c == '+' ? 1 : 0;
  return static_cast<std::uint8_t>((letter | slash_or_digit | plus) ^ 1);
}

/// Whether all characters are of the standard alphabet. In blocks of a fixed size, which are worth vectors to every
/// compiler; a table look-up for each character takes several times as long.
bool is_standard(std::string_view text) {
  constexpr std::size_t kBlock = 64;
  std::size_t at = 0;
  for (; at + kBlock <= text.size(); at += kBlock) {
    const char* const block = text.data() + at;
    std::uint8_t foreign = 0;
    for (std::size_t i = 0; i < kBlock; ++i) foreign |= is_foreign(static_cast<std::uint8_t>(block[i]));
    if (foreign != 0) return false;
  }
  std::uint8_t foreign = 0;
  for (const char c : text.substr(at)) foreign |= is_foreign(static_cast<std::uint8_t>(c));
  return foreign == 0;
}

/// Standard base64 without its padding; nothing when it has no whole number of groups.
std::optional<std::string_view> without_padding(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.ends_with("=="))
    text.remove_suffix(2);
  else if (text.ends_with('='))
    text.remove_suffix(1);
  return text;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_hex(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out.push_back(digits[byte >> 4U]);
    out.push_back(digits[byte & 15U]);
  }
  return out;
}

std::optional<ByteVector> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  ByteVector out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return out;
}

bool is_lower_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string to_base64(Bytes bytes) { return encode(bytes, kStandard, true); }

std::optional<ByteVector> from_base64(std::string_view text) {
  const auto characters = without_padding(text);
  return characters ? decode(*characters, kStandardReverse) : std::nullopt;
}

std::optional<std::size_t> base64_size(std::string_view text) {
  const auto characters = without_padding(text);
  if (!characters || characters->size() % 4 == 1) return std::nullopt;
  const std::size_t rest = characters->size() % 4;
  const std::size_t whole = characters->size() - rest;
  if (!is_standard(characters->substr(0, whole))) return std::nullopt;
  if (rest != 0 && !last_group(characters->substr(whole), kStandardReverse)) return std::nullopt;
  return whole / 4 * 3 + (rest == 0 ? 0 : rest - 1);
}

std::string to_base64url(Bytes bytes) { return encode(bytes, kUrlSafe, false); }

std::optional<ByteVector> from_base64url(std::string_view text) { return decode(text, kUrlSafeReverse); }

bool constant_time_equal(Bytes a, Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace ee
