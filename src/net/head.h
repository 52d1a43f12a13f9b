#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/error.h"

namespace ee::net {

/// Bounds of a request's head: request line, header fields and the empty line.
struct HeadLimits {
  std::size_t max_request_line_bytes = 8192;  ///< without its CRLF; beyond: uri_too_long
  std::size_t max_bytes = 32768;              ///< the whole head; beyond: headers_too_large
  std::size_t max_fields = 100;               ///< beyond: headers_too_large
};

struct HeadField {
  std::string_view name;   ///< as sent: an RFC 9110 token
  std::string_view value;  ///< without the white space around it; no control characters but tab
};

/// The head of one HTTP/1.x request. All views point into the bytes that `HeadReader::read` was given.
struct Head {
  std::string_view method;
  std::string_view path;   ///< begins with `/` (or is `*`, for OPTIONS); visible ASCII, not decoded
  std::string_view query;  ///< behind `?`, not decoded
  std::string_view host;
  std::vector<HeadField> fields;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;

  /// The first field of that name (any case), or nothing.
  std::optional<std::string_view> field(std::string_view name) const;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

enum class HeadStatus { incomplete, complete, refused };

/// Reads request heads off a connection, stricter than RFC 9112 demands wherever two parties could disagree about
/// where a message ends (request smuggling). Refuses as bad_request_framing: lines not ended by CRLF, control
/// characters, folded lines, white space before a colon, a missing, repeated or malformed Host, any repeated or
/// malformed Content-Length, a Transfer-Encoding other than exactly `chunked`, one beside Content-Length or under
/// HTTP/1.0, another HTTP version, an absolute URL whose host is not the Host field's.
///
/// One reader serves one connection: call `read` with all bytes from the start of the request whenever more arrived,
/// and `reset` before the next request.
class HeadReader {
 public:
  explicit HeadReader(HeadLimits limits = {}) : limits_(limits) {}

  HeadStatus read(std::string_view bytes);
  void reset();

  /// After `complete`; valid as long as the bytes given to that `read` stay where they are.
  const Head& head() const { return head_; }
  Head& head() { return head_; }
  /// After `complete`: how many bytes the head takes.
  std::size_t size() const { return size_; }
  /// After `refused`: bad_request_framing, uri_too_long or headers_too_large.
  ErrorCode error() const { return error_; }
  /// After `refused`: which rule was broken; a fixed text.
  std::string_view reason() const { return reason_; }

 private:
  HeadStatus refuse(std::string_view reason, ErrorCode code = ErrorCode::bad_request_framing);
  HeadStatus find_end(std::string_view bytes);
  HeadStatus parse(std::string_view bytes);
  bool parse_request_line(std::string_view line);
  bool parse_target(std::string_view target);
  bool parse_field(std::string_view line);
  bool note_field(const HeadField& field);
  bool note_content_length(std::string_view value);
  bool note_host(std::string_view value);
  void note_connection(std::string_view value);
  bool check_framing();

  HeadLimits limits_;
  Head head_;
  std::size_t start_ = 0;       ///< of the request line: 2 after one empty line, which RFC 9112 2.2 lets a client send
  std::size_t line_start_ = 0;  ///< of the line being looked for
  std::size_t scanned_ = 0;     ///< no line end before this
  std::size_t lines_ = 0;
  std::size_t size_ = 0;
  std::string_view authority_;  ///< of an absolute URL
  bool saw_transfer_encoding_ = false;
  bool saw_close_ = false;
  bool saw_keep_alive_ = false;
  std::size_t hosts_ = 0;
  ErrorCode error_ = ErrorCode::bad_request_framing;
  std::string_view reason_;
};

}  // namespace ee::net
