#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ee::testing {

/// One answer, as it came over the wire.
struct RawResponse {
  int status = 0;
  std::string head;      ///< status line and fields, each ended by CRLF
  std::string body;      ///< chunks put together
  std::string trailers;  ///< of a chunked body, each ended by CRLF

  /// The value of the first field of that name (any case), or nothing.
  std::optional<std::string> header(std::string_view name) const;
  std::size_t header_count(std::string_view name) const;
};

/// A blocking socket that sends exactly the bytes that it is told, for what no proper HTTP client would do. Gives up
/// after five seconds of silence.
class RawClient {
 public:
  /// To 127.0.0.1; throws when it cannot connect.
  explicit RawClient(std::uint16_t port);
  /// To a unix socket.
  explicit RawClient(const std::string& unix_path);
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient();

  /// False when the peer has closed.
  bool send(std::string_view bytes);
  /// By all clients of this process so far.
  static std::uint64_t bytes_sent();
  /// The next answer, or nothing when the connection ended first. `to_head`: the request was HEAD, so no body follows.
  std::optional<RawResponse> read_response(bool to_head = false);
  /// What arrives, once it is that many bytes.
  std::optional<std::string> read_some(std::size_t at_least = 1);
  /// Everything until the peer closes (or resets).
  std::string read_to_end();
  /// Whether the peer has closed, waiting for it.
  bool closed() { return read_to_end().empty(); }
  /// Sends the end of file.
  void half_close();
  /// Closes with a reset.
  void reset();
  void close();
  /// Smallest receive buffer, so that a peer's writes stall soon. Before any traffic.
  void shrink_receive_buffer();

 private:
  bool fill();
  std::optional<std::string> read_line();
  bool read_chunks(RawResponse& response);
  int descriptor_ = -1;
  std::string buffer_;
};

}  // namespace ee::testing
