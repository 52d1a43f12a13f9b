#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace ee::net {

enum class ChunkStatus { incomplete, complete, bad_chunk, too_large };

/// Takes the chunked transfer coding (RFC 9112 section 7.1) off a request body. Stricter than the grammar: chunk
/// extensions are refused (nobody sends them, and servers disagree about them), trailer fields are read, bounded and
/// dropped unless kept. Chunk sizes have at most 8 digits.
class ChunkedDecoder {
 public:
  explicit ChunkedDecoder(std::size_t max_body_bytes) : max_body_bytes_(max_body_bytes) {}

  /// Decodes what it can of `bytes`, appends content to `body` (if not null) and sets `consumed` to the number of bytes
  /// that it has taken; the rest belongs to the next call, or after `complete` to the next request.
  ChunkStatus decode(std::string_view bytes, std::size_t& consumed, std::string* body);

  /// From now on `trailers` gathers what decides nothing about framing or routing: lines with CRLF.
  void keep_trailers() { keeps_trailers_ = true; }
  const std::string& trailers() const { return trailers_; }

 private:
  enum class State { size, data, data_end, trailer };
  ChunkStatus decode_size(std::string_view line);
  bool decode_trailer(std::string_view line);

  std::size_t max_body_bytes_;
  State state_ = State::size;
  std::uint64_t left_ = 0;        ///< of the chunk
  std::uint64_t body_bytes_ = 0;  ///< announced by chunk sizes so far
  std::size_t trailer_bytes_ = 0;
  bool keeps_trailers_ = false;
  std::string trailers_;
};

}  // namespace ee::net
