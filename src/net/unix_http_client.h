#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_client.h"
#include "common/time.h"

namespace ee::net {

/// One HTTP/1.1 call over a unix socket whose answer may be long and slow: a stream that is handed out as it arrives.
struct UnixHttpRequest {
  std::string socket;
  std::string method = "GET";
  std::string target;  ///< path and query, percent-encoded
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  Milliseconds connect_timeout{2000};
  std::optional<Milliseconds> total_timeout = {};  ///< nothing: as long as it takes
  std::optional<Milliseconds> idle_timeout = {};   ///< longest silence of the peer
  std::stop_token stop = {};                       ///< a request closes the connection
};

struct UnixHttpHandlers {
  /// The final answer's status, before any of its body. May be empty.
  std::function<void(int status)> on_status = {};
  /// A piece of the body, transfer coding taken off. False closes the connection.
  std::function<bool(int status, std::string_view bytes)> on_body = {};
};

/// The status, when the answer came to its proper end. Errors as of `HttpClient`; `answer_too_large` when `on_body`
/// said false or the head is over 64 KiB; `protocol` when the peer closed in the middle. Each call has a connection of
/// its own. Thread-safe; handlers run on the calling thread.
std::expected<int, HttpFailure> unix_http(const UnixHttpRequest& request, const UnixHttpHandlers& handlers);

}  // namespace ee::net
