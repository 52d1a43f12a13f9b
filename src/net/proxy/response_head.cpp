#include "net/proxy/response_head.h"

#include <algorithm>
#include <cstring>

#include "net/chars.h"
#include "net/http.h"
#include "net/proxy/hop_fields.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxContentLengthDigits = 18;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<std::string_view> ResponseHead::field(std::string_view name) const {
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, name)) return field.value;
  return std::nullopt;
}

void ResponseHeadReader::reset() { *this = {}; }

HeadStatus ResponseHeadReader::read(std::string_view bytes) {
  constexpr std::string_view kProtocol = "HTTP/1.";
  const std::size_t known = std::min(bytes.size(), kProtocol.size());
  if (bytes.substr(0, known) != kProtocol.substr(0, known)) return HeadStatus::refused;
  while (true) {
    const void* hit =
        bytes.size() > scanned_ ? std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_) : nullptr;
    const std::size_t end = hit ? static_cast<std::size_t>(static_cast<const char*>(hit) - bytes.data()) : bytes.size();
    if (end >= kMaxBytes) return HeadStatus::refused;
    if (!hit) {
      scanned_ = bytes.size();
      return HeadStatus::incomplete;
    }
    if (end == line_start_ || bytes[end - 1] != '\r') return HeadStatus::refused;
    const bool empty = end - line_start_ == 1;
    scanned_ = line_start_ = end + 1;
    if (empty) break;
    if (++lines_ > kMaxFields + 1) return HeadStatus::refused;
  }
  size_ = scanned_;
  return parse(bytes.substr(0, size_)) ? HeadStatus::complete : HeadStatus::refused;
}

bool ResponseHeadReader::parse(std::string_view bytes) {
  bool first = true;
  head_.fields.reserve(lines_);
  while (true) {
    const std::size_t end = bytes.find("\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 2);
    if (line.empty()) break;
    if (!(first ? parse_status_line(line) : parse_field(line))) return false;
    first = false;
  }
  if (first) return false;
  if (head_.chunked && (head_.content_length || http_1_0_)) return false;
  head_.keep_alive = !saw_close_ && (!http_1_0_ || saw_keep_alive_);
  return true;
}

/// `HTTP/1.1 200 OK`; the reason may be empty, and some leave its space out too.
bool ResponseHeadReader::parse_status_line(std::string_view line) {
  constexpr std::size_t kStatusEnd = 12;
  if (line.size() < kStatusEnd || (line[7] != '0' && line[7] != '1') || line[8] != ' ') return false;
  http_1_0_ = line[7] == '0';
  if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11])) return false;
  head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (head_.status < 100 || head_.status > 599) return false;
  const std::string_view rest = line.substr(kStatusEnd);
  return rest.empty() || (rest.front() == ' ' && all_are(kFieldChar, rest));
}

bool ResponseHeadReader::parse_field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') return false;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const HeadField field{.name = line.substr(0, colon), .value = trim_blanks(line.substr(colon + 1))};
  if (!is_token(field.name) || !all_are(kFieldChar, field.value)) return false;
  head_.fields.push_back(field);
  return note(field);
}

bool ResponseHeadReader::note(const HeadField& field) {
  if (equal_ignoring_case(field.name, "connection")) {
    for_each_option(field.value, [&](std::string_view option) {
      if (equal_ignoring_case(option, "close")) saw_close_ = true;
      if (equal_ignoring_case(option, "keep-alive")) saw_keep_alive_ = true;
    });
  } else if (equal_ignoring_case(field.name, "content-length")) {
    if (head_.content_length || field.value.empty() || field.value.size() > kMaxContentLengthDigits ||
        !std::ranges::all_of(field.value, is_digit))
      return false;
    std::uint64_t length = 0;
    for (const char c : field.value) length = length * 10 + static_cast<std::uint64_t>(c - '0');
    head_.content_length = length;
  } else if (equal_ignoring_case(field.name, "transfer-encoding")) {
    if (saw_transfer_encoding_ || !equal_ignoring_case(field.value, "chunked")) return false;
    saw_transfer_encoding_ = head_.chunked = true;
  }
  return true;
}

}  // namespace ee::net
