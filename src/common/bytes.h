#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ee {

/// Bytes to look at; never stored in a value that outlives the call.
using Bytes = std::span<const std::uint8_t>;
using ByteVector = std::vector<std::uint8_t>;
template <std::size_t N>
using ByteArray = std::array<std::uint8_t, N>;

/// The bytes of a text, and the text of bytes (no decoding of any kind).
inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

inline void append(ByteVector& to, Bytes bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
inline void append(ByteVector& to, std::string_view text) { append(to, bytes_of(text)); }

/// Lower-case hexadecimal.
std::string to_hex(Bytes bytes);
/// Accepts upper and lower case; nothing on odd length or another character.
std::optional<ByteVector> from_hex(std::string_view text);
/// Exactly N bytes, or nothing.
template <std::size_t N>
std::optional<ByteArray<N>> from_hex_exact(std::string_view text) {
  if (text.size() != 2 * N) return std::nullopt;
  const auto bytes = from_hex(text);
  if (!bytes) return std::nullopt;
  ByteArray<N> out;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}
/// Whether `text` is exactly `digits` lower-case hexadecimal digits.
bool is_lower_hex(std::string_view text, std::size_t digits);

/// RFC 4648 section 4, with padding. Decoding is strict: standard alphabet, padding at the end and only where needed,
/// no white space, unused bits zero.
std::string to_base64(Bytes bytes);
std::optional<ByteVector> from_base64(std::string_view text);
/// RFC 4648 section 5, without padding, equally strict.
std::string to_base64url(Bytes bytes);
std::optional<ByteVector> from_base64url(std::string_view text);

/// Equal lengths and contents, in time that depends on the length only.
bool constant_time_equal(Bytes a, Bytes b);

}  // namespace ee
