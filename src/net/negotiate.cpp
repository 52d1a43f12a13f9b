#include "net/negotiate.h"

#include <algorithm>

#include "net/chars.h"
#include "net/http.h"

namespace ee::net {
namespace {

/// Cuts the part before `separator` off the front of `rest`, trimmed.
std::string_view next_part(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = trim_blanks(rest.substr(0, end));
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

/// Whether the parameters of one list element say `q=0`, `q=0.0`, ...
bool has_zero_weight(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = next_part(parameters, ';');
    if (parameter.size() < 3 || (parameter[0] != 'q' && parameter[0] != 'Q') || parameter[1] != '=') continue;
    return parameter.substr(2).find_first_not_of("0.") == std::string_view::npos;
  }
  return false;
}

bool is_lower_hex_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    std::string_view element = next_part(accept_encoding, ',');
    const std::string_view coding = next_part(element, ';');
    if (equal_ignoring_case(coding, "gzip") || equal_ignoring_case(coding, "x-gzip")) return !has_zero_weight(element);
    if (coding == "*") any = !has_zero_weight(element);
  }
  return any;
}

bool accepts_media_type(std::string_view accept, std::string_view media_type) {
  if (trim_blanks(accept).empty()) return true;
  const std::string_view type = media_type.substr(0, media_type.find('/'));
  int best = 0;
  bool accepted = false;
  while (!accept.empty()) {
    std::string_view element = next_part(accept, ',');
    const std::string_view range = next_part(element, ';');
    int specificity = 0;
    if (equal_ignoring_case(range, media_type))
      specificity = 3;
    else if (range.ends_with("/*") && equal_ignoring_case(range.substr(0, range.size() - 2), type))
      specificity = 2;
    else if (range == "*/*")
      specificity = 1;
    if (specificity <= best) continue;
    best = specificity;
    accepted = !has_zero_weight(element);
  }
  return accepted;
}

bool is_media_type(std::string_view content_type, std::string_view media_type) {
  if (!equal_ignoring_case(next_part(content_type, ';'), media_type)) return false;
  while (!content_type.empty()) {
    std::string_view parameter = next_part(content_type, ';');
    if (!equal_ignoring_case(next_part(parameter, '='), "charset")) continue;
    if (parameter.size() >= 2 && parameter.front() == '"' && parameter.back() == '"')
      parameter = parameter.substr(1, parameter.size() - 2);
    if (!equal_ignoring_case(parameter, "utf-8")) return false;
  }
  return true;
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = next_part(content_type, ';');
  if (type == "text/event-stream") return false;
  return type.starts_with("text/") || type.ends_with("json") || type.ends_with("javascript") || type.ends_with("xml") ||
         type.ends_with("yaml");
}

bool is_request_id(std::string_view text) {
  return text.size() >= 8 && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
                  c == '-';
         });
}

bool is_traceparent(std::string_view text) {
  constexpr std::size_t kVersion0Size = 55;
  if (text.size() < kVersion0Size || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace_id = text.substr(3, 32);
  const std::string_view parent_id = text.substr(36, 16);
  if (!is_lower_hex_text(version) || !is_lower_hex_text(trace_id) || !is_lower_hex_text(parent_id) ||
      !is_lower_hex_text(text.substr(53, 2)))
    return false;
  if (version == "ff" || all_zero(trace_id) || all_zero(parent_id)) return false;
  constexpr std::size_t kMaxSize = 256;
  return version == "00" ? text.size() == kVersion0Size
                         : text.size() == kVersion0Size || (text[kVersion0Size] == '-' && text.size() <= kMaxSize);
}

}  // namespace ee::net
