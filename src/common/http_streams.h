#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "common/http_client.h"

namespace ee {

/// Outbound calls whose answers come over minutes and are handed out as they arrive, any number on one thread. For
/// calls that end soon there is HttpClient. Thread-safe. Implementation: net/curl_http_streams.h; the fake for tests:
/// common/fake_http_streams.h.
class HttpStreams {
 public:
  /// Called on the implementation's thread; must not block, nor open or end streams.
  struct Handlers {
    /// Status and fields of the answer, before its body. False ends the stream.
    std::function<bool(const HttpClientResponse& head)> on_head = {};
    /// A piece of the body. False ends the stream.
    std::function<bool(std::string_view bytes)> on_bytes = {};
    /// The last call. Nothing: the answer came to its proper end. `cancelled`: a handler said false.
    std::function<void(std::optional<HttpFailure> failure)> on_end = {};
  };

  /// Destroying it ends the call. A handler that has begun then may still be running; no other one starts.
  class Stream {
   public:
    virtual ~Stream() = default;
  };

  virtual ~HttpStreams() = default;
  /// `request.total_timeout` is how long the stream may last, and `head_timeout` how long its head may take;
  /// `max_response_bytes` and `stop` are not looked at. Null when too many streams are open.
  virtual std::unique_ptr<Stream> open(HttpClientRequest request, Milliseconds head_timeout, Handlers handlers) = 0;
};

}  // namespace ee
