#include "common/id.h"

#include <algorithm>

namespace ee {

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return false;
    } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
      return false;
    }
  }
  return true;
}

std::optional<ByteArray<16>> uuid_bytes(std::string_view text) {
  if (!is_uuid(text)) return std::nullopt;
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  ByteArray<16> bytes{};
  std::size_t at = 0;
  for (std::uint8_t& byte : bytes) {
    if (text[at] == '-') ++at;
    byte = static_cast<std::uint8_t>(digit(text[at]) << 4U | digit(text[at + 1]));
    at += 2;
  }
  return bytes;
}

std::string uuid_text(const ByteArray<16>& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(36, '-');
  std::size_t at = 0;
  for (const std::uint8_t byte : bytes) {
    if (at == 8 || at == 13 || at == 18 || at == 23) ++at;
    text[at++] = kDigits[byte >> 4U];
    text[at++] = kDigits[byte & 15U];
  }
  return text;
}

std::optional<std::string> new_uuid_v7(UtcTime now, Random& random) {
  ByteArray<16> bytes{};
  if (!random.fill(bytes)) return std::nullopt;
  const auto ms = static_cast<std::uint64_t>(unix_ms(now));
  for (std::size_t i = 0; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(ms >> (40U - 8U * i));
  bytes[6] = static_cast<std::uint8_t>(0x70U | (bytes[6] & 0x0fU));
  bytes[8] = static_cast<std::uint8_t>(0x80U | (bytes[8] & 0x3fU));
  return uuid_text(bytes);
}

std::optional<UtcTime> uuid_v7_time(std::string_view text) {
  const auto bytes = uuid_bytes(text);
  if (!bytes || ((*bytes)[6] >> 4U) != 7) return std::nullopt;
  std::uint64_t ms = 0;
  for (std::size_t i = 0; i < 6; ++i) ms = (ms << 8U) | (*bytes)[i];
  return from_unix_ms(static_cast<std::int64_t>(ms));
}

bool is_dns_label(std::string_view text) {
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (text.empty() || text.size() > 63 || !alnum(text.front()) || !alnum(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-'; });
}

}  // namespace ee
