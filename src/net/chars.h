#pragma once
#include <array>
#include <string_view>

namespace ee::net {

/// Character classes of RFC 9110 section 5.6, by table.
enum CharClass : unsigned char {
  kTokenChar = 1,   ///< tchar
  kFieldChar = 2,   ///< field-vchar, space, tab and obs-text
  kTargetChar = 4,  ///< visible ASCII but `#`, which no request target may have
  kHexDigit = 8,
};

constexpr std::array<unsigned char, 256> make_char_classes() {
  std::array<unsigned char, 256> classes{};
  for (std::size_t c = 0; c < 256; ++c) {
    unsigned set = 0;
    const bool digit = c >= '0' && c <= '9';
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool mark =
        c < 128 && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
    if (digit || alpha || mark) set |= kTokenChar;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) set |= kFieldChar;
    if (c > 0x20 && c < 0x7f && c != '#') set |= kTargetChar;
    if (digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) set |= kHexDigit;
    classes[c] = static_cast<unsigned char>(set);
  }
  return classes;
}
inline constexpr std::array<unsigned char, 256> kCharClasses = make_char_classes();

constexpr bool is_a(CharClass wanted, char c) { return (kCharClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

constexpr bool all_are(CharClass wanted, std::string_view text) {
  unsigned char common = wanted;
  for (const char c : text) common = static_cast<unsigned char>(common & kCharClasses[static_cast<unsigned char>(c)]);
  return common != 0;
}

constexpr bool is_token(std::string_view text) { return !text.empty() && all_are(kTokenChar, text); }

constexpr std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Whether a field's name begins so, in any case. `_` counts as `-`: many frameworks hand fields on as variables, where
/// the two are one, so a client could otherwise set what only a proxy may. `prefix`: lower case, with `-`.
constexpr bool begins_like(std::string_view name, std::string_view prefix) {
  if (name.size() < prefix.size()) return false;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    const char c = name[i];
    const char plain = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    if (plain != prefix[i]) return false;
  }
  return true;
}

}  // namespace ee::net
