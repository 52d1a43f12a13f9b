#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "net/head.h"

namespace ee::net {

/// The head of one HTTP/1.x answer of a backend. All views point into the bytes that were read.
struct ResponseHead {
  int status = 0;
  std::vector<HeadField> fields;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;

  std::optional<std::string_view> field(std::string_view name) const;
};

/// Reads heads of answers as strictly as `HeadReader` reads those of requests: lines ended by CRLF, no folded lines, no
/// control characters, no repeated Content-Length, none beside Transfer-Encoding, which is exactly `chunked`. Whatever
/// breaks a rule could let a backend say where the next client's answer begins.
class ResponseHeadReader {
 public:
  static constexpr std::size_t kMaxBytes = 64UL * 1024;
  static constexpr std::size_t kMaxFields = 256;

  /// Call with all bytes from the start of the answer whenever more arrived.
  HeadStatus read(std::string_view bytes);
  void reset();
  const ResponseHead& head() const { return head_; }
  /// After `complete`: how many bytes the head takes.
  std::size_t size() const { return size_; }

 private:
  bool parse(std::string_view bytes);
  bool parse_status_line(std::string_view line);
  bool parse_field(std::string_view line);
  bool note(const HeadField& field);

  ResponseHead head_;
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
  std::size_t size_ = 0;
  bool http_1_0_ = false;
  bool saw_close_ = false;
  bool saw_keep_alive_ = false;
  bool saw_transfer_encoding_ = false;
};

}  // namespace ee::net
