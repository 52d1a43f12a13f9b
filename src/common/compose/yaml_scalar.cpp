#include "common/compose/yaml_scalar.h"

#include <algorithm>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <string>

namespace ee::compose {
namespace {

constexpr std::int64_t kMaxInteger = std::int64_t{1} << 53;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }

std::string_view without_sign(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return text;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

Scalar integer(std::string_view text, int base) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size() || number > kMaxInteger || number < -kMaxInteger)
    return {.kind = ScalarKind::integer, .problem = "an integer is beyond 2^53"};
  return {.kind = ScalarKind::integer, .value = number};
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
bool is_float(std::string_view text) {
  text = without_sign(text);
  if (const auto e = text.find_first_of("eE"); e != text.npos) {
    if (!all_digits(without_sign(text.substr(e + 1)))) return false;
    text = text.substr(0, e);
  }
  const auto point = text.find('.');
  if (point == text.npos) return all_digits(text);
  const auto whole = text.substr(0, point);
  const auto fraction = text.substr(point + 1);
  if (whole.empty()) return all_digits(fraction);
  return all_digits(whole) && (fraction.empty() || all_digits(fraction));
}

Scalar number(std::string_view text) {
  if (text.front() == '+') text.remove_prefix(1);
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || !(std::abs(out) <= static_cast<double>(kMaxInteger)))
    return {.kind = ScalarKind::number, .problem = "a number is too large or too small"};
  return {.kind = ScalarKind::number, .value = out};
}

}  // namespace

Scalar resolve_plain(std::string_view text) {
  if (text.empty() || is_one_of(text, {"~", "null", "Null", "NULL"})) return {.kind = ScalarKind::null};
  if (is_one_of(text, {"true", "True", "TRUE"})) return {.kind = ScalarKind::boolean, .value = true};
  if (is_one_of(text, {"false", "False", "FALSE"})) return {.kind = ScalarKind::boolean, .value = false};
  const auto unsigned_text = without_sign(text);
  if (is_one_of(unsigned_text, {".inf", ".Inf", ".INF"}) || is_one_of(text, {".nan", ".NaN", ".NAN"}))
    return {.kind = ScalarKind::number, .problem = "infinities and NaN are not accepted"};
  if (all_digits(unsigned_text)) return integer(text.front() == '+' ? unsigned_text : text, 10);
  const std::string_view tail = text.size() > 2 ? text.substr(2) : std::string_view();
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  const auto hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
  if (text.starts_with("0o") && !tail.empty() && std::ranges::all_of(tail, octal)) return integer(tail, 8);
  if (text.starts_with("0x") && !tail.empty() && std::ranges::all_of(tail, hex)) return integer(tail, 16);
  if (is_float(text)) return number(text);
  return {.kind = ScalarKind::text, .value = boost::json::string(boost::json::string_view(text.data(), text.size()))};
}

}  // namespace ee::compose
