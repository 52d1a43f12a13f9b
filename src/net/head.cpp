#include "net/head.h"

#include <algorithm>
#include <cstring>

#include "net/chars.h"
#include "net/http.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxMethodBytes = 32;
constexpr std::size_t kMaxContentLengthDigits = 18;  // fits 64 bits without a check for overflow
constexpr std::size_t kMaxHostBytes = 255 + 6;       // a DNS name and a port

/// RFC 3986 authority without user information: name, IPv4 or `[v6]`, and an optional port. Looser than the grammar
/// where nobody can be confused by it.
bool is_host(std::string_view text) {
  const auto valid = [](char c) {
    return (is_a(kTokenChar, c) && c != '#' && c != '^' && c != '`' && c != '|') || c == ':' || c == '[' || c == ']';
  };
  return !text.empty() && text.size() <= kMaxHostBytes && std::ranges::all_of(text, valid);
}

}  // namespace

std::optional<std::string_view> Head::field(std::string_view name) const {
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, name)) return field.value;
  return std::nullopt;
}

void HeadReader::reset() {
  head_.method = head_.path = head_.query = head_.host = {};
  head_.fields.clear();
  head_.content_length.reset();
  head_.chunked = head_.http_1_0 = head_.expects_continue = false;
  head_.keep_alive = true;
  start_ = line_start_ = scanned_ = lines_ = size_ = hosts_ = 0;
  authority_ = {};
  saw_transfer_encoding_ = saw_close_ = saw_keep_alive_ = false;
  reason_ = {};
}

HeadStatus HeadReader::refuse(std::string_view reason, ErrorCode code) {
  error_ = code;
  if (reason_.empty()) reason_ = reason;
  return HeadStatus::refused;
}

HeadStatus HeadReader::read(std::string_view bytes) {
  const HeadStatus found = find_end(bytes);
  return found == HeadStatus::complete ? parse(bytes.substr(0, size_)) : found;
}

/// Looks at each byte once, however the head arrives in pieces, and refuses as soon as no continuation could help.
HeadStatus HeadReader::find_end(std::string_view bytes) {
  while (true) {
    const bool may_be_empty_line = start_ == 0 && !bytes.empty() && bytes[0] == '\r';
    if (lines_ == 0 && bytes.size() > start_ && !may_be_empty_line && !is_a(kTokenChar, bytes[start_]))
      return refuse("not an HTTP request");
    const void* hit =
        bytes.size() > scanned_ ? std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_) : nullptr;
    const std::size_t line_end =
        hit ? static_cast<std::size_t>(static_cast<const char*>(hit) - bytes.data()) : bytes.size();
    if (lines_ == 0 && line_end - start_ > limits_.max_request_line_bytes + 1)
      return refuse("request line too long", ErrorCode::uri_too_long);
    if (line_end - start_ >= limits_.max_bytes) return refuse("head too large", ErrorCode::headers_too_large);
    if (!hit) {
      scanned_ = bytes.size();
      return HeadStatus::incomplete;
    }
    if (line_end == line_start_ || bytes[line_end - 1] != '\r') return refuse("line not ended by CRLF");
    const bool empty = line_end - line_start_ == 1;
    scanned_ = line_end + 1;
    line_start_ = scanned_;
    if (empty && lines_ == 0) {
      start_ = scanned_;
      continue;
    }
    if (empty) {
      size_ = scanned_;
      return HeadStatus::complete;
    }
    if (++lines_ > limits_.max_fields + 1) return refuse("too many header fields", ErrorCode::headers_too_large);
  }
}

HeadStatus HeadReader::parse(std::string_view bytes) {
  std::size_t at = start_;
  bool first = true;
  while (true) {
    const auto* hit = static_cast<const char*>(std::memchr(bytes.data() + at, '\n', bytes.size() - at));
    const auto end = static_cast<std::size_t>(hit - bytes.data());
    const std::string_view line = bytes.substr(at, end - 1 - at);  // find_end saw that CR comes before
    if (line.empty()) break;
    if (!(first ? parse_request_line(line) : parse_field(line))) return refuse("malformed head");
    first = false;
    at = end + 1;
  }
  return check_framing() ? HeadStatus::complete : refuse("malformed head");
}

bool HeadReader::parse_request_line(std::string_view line) {
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || target_end == method_end)
    return reason_ = "malformed request line", false;
  head_.method = line.substr(0, method_end);
  if (!is_token(head_.method) || head_.method.size() > kMaxMethodBytes) return reason_ = "malformed method", false;
  const std::string_view version = line.substr(target_end + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return reason_ = "unknown HTTP version", false;
  head_.http_1_0 = version.back() == '0';
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  // A space inside the target is refused here, since it is no target character.
  if (target.empty() || !all_are(kTargetChar, target) || !parse_target(target))
    return reason_ = "malformed request target", false;
  return true;
}

/// RFC 9112 section 3.2: origin-form, absolute-form or, for OPTIONS, `*`. CONNECT's authority-form is refused.
bool HeadReader::parse_target(std::string_view target) {
  if (target == "*") {
    head_.path = target;
    return head_.method == "OPTIONS";
  }
  if (target.front() != '/') {
    const std::size_t scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return false;
    const std::string_view scheme = target.substr(0, scheme_end);
    if (!equal_ignoring_case(scheme, "http") && !equal_ignoring_case(scheme, "https")) return false;
    const std::size_t path = target.find_first_of("/?", scheme_end + 3);
    authority_ = target.substr(scheme_end + 3, path == std::string_view::npos ? path : path - scheme_end - 3);
    if (!is_host(authority_)) return false;
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
    if (target.front() == '?') return false;
  }
  const std::size_t question = target.find('?');
  head_.path = target.substr(0, question);
  if (question != std::string_view::npos) head_.query = target.substr(question + 1);
  return true;
}

bool HeadReader::parse_field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') return reason_ = "folded header line", false;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return reason_ = "header line without a colon", false;
  const HeadField field{.name = line.substr(0, colon), .value = trim_blanks(line.substr(colon + 1))};
  if (!is_token(field.name)) return reason_ = "malformed header name", false;
  if (!all_are(kFieldChar, field.value)) return reason_ = "control character in a header", false;
  head_.fields.push_back(field);
  return note_field(field);
}

/// The fields that say where the message ends and what becomes of the connection.
bool HeadReader::note_field(const HeadField& field) {
  switch (field.name.size()) {
    case 4: return !equal_ignoring_case(field.name, "host") || note_host(field.value);
    case 6:
      // The only value that RFC 9110 knows; others are answered by the server, not here.
      if (equal_ignoring_case(field.name, "expect"))
        head_.expects_continue = equal_ignoring_case(field.value, "100-continue");
      return true;
    case 10:
      if (equal_ignoring_case(field.name, "connection")) note_connection(field.value);
      return true;
    case 14: return !equal_ignoring_case(field.name, "content-length") || note_content_length(field.value);
    case 17:
      if (!equal_ignoring_case(field.name, "transfer-encoding")) return true;
      if (saw_transfer_encoding_ || field.value != "chunked") return reason_ = "transfer encoding refused", false;
      saw_transfer_encoding_ = head_.chunked = true;
      return true;
    default: return true;
  }
}

bool HeadReader::note_host(std::string_view value) {
  if (++hosts_ > 1) return reason_ = "more than one Host", false;
  if (!is_host(value)) return reason_ = "malformed Host", false;
  head_.host = value;
  return true;
}

bool HeadReader::note_content_length(std::string_view value) {
  if (head_.content_length) return reason_ = "more than one Content-Length", false;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (value.empty() || value.size() > kMaxContentLengthDigits || !std::ranges::all_of(value, is_digit))
    return reason_ = "malformed Content-Length", false;
  std::uint64_t length = 0;
  for (const char c : value) length = length * 10 + static_cast<std::uint64_t>(c - '0');
  head_.content_length = length;
  return true;
}

void HeadReader::note_connection(std::string_view value) {
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    const std::string_view option = trim_blanks(value.substr(0, comma));
    if (equal_ignoring_case(option, "close")) saw_close_ = true;
    if (equal_ignoring_case(option, "keep-alive")) saw_keep_alive_ = true;
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
}

bool HeadReader::check_framing() {
  if (hosts_ == 0) return reason_ = "no Host", false;
  if (!authority_.empty() && !equal_ignoring_case(authority_, head_.host))
    return reason_ = "Host differs from the request target", false;
  if (head_.chunked && head_.content_length) return reason_ = "Content-Length beside Transfer-Encoding", false;
  if (head_.chunked && head_.http_1_0) return reason_ = "Transfer-Encoding under HTTP/1.0", false;
  head_.keep_alive = !saw_close_ && (!head_.http_1_0 || saw_keep_alive_);
  if (head_.http_1_0) head_.expects_continue = false;
  return true;
}

}  // namespace ee::net
