#include "net/chunked.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "net/chars.h"
#include "net/client_address.h"
#include "net/http.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxSizeDigits = 8;
constexpr std::size_t kMaxTrailerBytes = 4096;

/// RFC 9110 section 6.5.1: fields of framing, routing, authentication and content control are not taken from a trailer,
/// nor are those that only this platform sets.
bool may_be_trailer(std::string_view name) {
  constexpr std::array<std::string_view, 21> kNever = {"authorization",
                                                       "connection",
                                                       "content-encoding",
                                                       "content-length",
                                                       "content-range",
                                                       "content-type",
                                                       "cookie",
                                                       "expect",
                                                       "traceparent",
                                                       "x-request-id",
                                                       "host",
                                                       "keep-alive",
                                                       "location",
                                                       "max-forwards",
                                                       "proxy-authorization",
                                                       "set-cookie",
                                                       "te",
                                                       "trailer",
                                                       "upgrade",
                                                       "transfer-encoding",
                                                       "via"};
  if (begins_like(name, "x-ee-") || is_forwarding_field(name)) return false;
  return std::ranges::none_of(kNever, [&](std::string_view never) { return equal_ignoring_case(name, never); });
}

}  // namespace

ChunkStatus ChunkedDecoder::decode(std::string_view bytes, std::size_t& consumed, std::string* body) {
  consumed = 0;
  while (true) {
    const std::string_view rest = bytes.substr(consumed);
    if (state_ == State::data) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size()));
      if (body) body->append(rest.substr(0, count));
      consumed += count;
      left_ -= count;
      if (left_ > 0) return ChunkStatus::incomplete;
      state_ = State::data_end;
      continue;
    }
    const std::size_t line_limit = state_ == State::trailer ? kMaxTrailerBytes - trailer_bytes_ : kMaxSizeDigits + 2;
    const std::size_t line_feed = rest.substr(0, line_limit).find('\n');
    if (line_feed == std::string_view::npos)
      return rest.size() >= line_limit ? ChunkStatus::bad_chunk : ChunkStatus::incomplete;
    if (line_feed == 0 || rest[line_feed - 1] != '\r') return ChunkStatus::bad_chunk;
    const std::string_view line = rest.substr(0, line_feed - 1);
    consumed += line_feed + 1;
    if (state_ == State::data_end) {
      if (!line.empty()) return ChunkStatus::bad_chunk;
      state_ = State::size;
    } else if (state_ == State::size) {
      if (const ChunkStatus status = decode_size(line); status != ChunkStatus::incomplete) return status;
    } else {
      if (line.empty()) return ChunkStatus::complete;
      if (!decode_trailer(line)) return ChunkStatus::bad_chunk;
    }
  }
}

/// `incomplete` means: fine, go on.
ChunkStatus ChunkedDecoder::decode_size(std::string_view line) {
  if (line.empty() || line.size() > kMaxSizeDigits || !all_are(kHexDigit, line)) return ChunkStatus::bad_chunk;
  std::uint64_t size = 0;
  std::from_chars(line.data(), line.data() + line.size(), size, 16);
  if (size > max_body_bytes_ - body_bytes_) return ChunkStatus::too_large;
  body_bytes_ += size;
  left_ = size;
  state_ = size == 0 ? State::trailer : State::data;
  return ChunkStatus::incomplete;
}

bool ChunkedDecoder::decode_trailer(std::string_view line) {
  trailer_bytes_ += line.size() + 2;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
      !all_are(kFieldChar, line.substr(colon + 1)))
    return false;
  if (keeps_trailers_ && may_be_trailer(line.substr(0, colon))) trailers_.append(line).append("\r\n");
  return true;
}

}  // namespace ee::net
