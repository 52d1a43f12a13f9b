#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace ee::net {

class IoLoop;
struct RequestHead;
struct RouteInfo;

/// How a streamed answer begins. Views are used during the call only.
struct StreamHead {
  int status = 200;
  std::string_view fields = {};  ///< ready lines, CRLF each: no framing, `Connection`, `X-Request-Id`
  std::optional<std::uint64_t> content_length = {};  ///< none: chunked, or ended by closing under HTTP/1.0
  bool has_date = false;                             ///< `fields` has a `Date`; else the server adds one
};

/// One exchange whose request and answer are moved piece by piece on the connection's io thread. Nothing here may be
/// called from another thread, nor after the exchange ended: by `respond`, `finish` or `abort`, or `on_gone`.
///
/// At most about 32 KiB of the request wait for a handler that does not want them. What is written is kept until the
/// client takes it, so a handler stops producing while much is `unsent`, until `on_drained`.
class Exchange {
 public:
  /// Answers whole and ends the exchange. Nothing of an answer may have been sent.
  virtual void respond(Response response) = 0;
  /// An interim answer (1xx but 100 and 101), not sent to HTTP/1.0 clients.
  virtual void inform(int status, std::string_view fields) = 0;
  /// Begins the answer. HEAD, 204 and 304 have no body: `write` then drops what it is given.
  virtual void begin(const StreamHead& head) = 0;
  /// Sends a piece of the answer at once and returns `unsent`.
  virtual std::size_t write(std::string_view bytes) = 0;
  /// Bytes written that the client's socket has not taken yet.
  virtual std::size_t unsent() const = 0;
  /// Ends the answer; `trailers` are ready lines, dropped where the framing has none. With a body shorter than its
  /// Content-Length it aborts.
  virtual void finish(std::string_view trailers = {}) = 0;
  /// Resets the connection, so that the client sees that the answer is not whole.
  virtual void abort() = 0;
  /// Whether pieces of the request's body may come. The first time answers `Expect: 100-continue`.
  virtual void want_body(bool wanted) = 0;
  /// Answers 101 with `fields` (`Upgrade` and `Connection` among them). From now on bytes pass as they are, both ways,
  /// until `finish`; `on_body` with `last` means that the client's side ended.
  virtual void switch_protocols(std::string_view fields) = 0;
  /// After `switch_protocols`: nothing more will be written; the client sees the end of file.
  virtual void end_output() = 0;
  /// For the access record: who asked, and the slug of an error that was met.
  virtual void note(std::string_view principal, std::string_view code) = 0;
  /// The connection is reset when the client takes no byte for that long.
  virtual void set_write_stall(Milliseconds time) = 0;
  /// Runs `job` on a worker, where it may block, and then what it returns on this io thread, whatever has become of the
  /// exchange meanwhile. False, and not run, when the server has too much in work. Dropped when the server ends.
  using Continuation = std::move_only_function<void()>;
  /// `outside`: the job waits for an outside service, so it may hold at most half of the workers.
  [[nodiscard]] virtual bool run_on_worker(std::move_only_function<Continuation()> job, bool outside = false) = 0;
  virtual IoLoop& loop() = 0;
  virtual bool http_1_0() const = 0;

 protected:
  ~Exchange() = default;
};

/// Serves one exchange, on the connection's io thread; must not block or throw.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  /// For records and the client's bounds; outlives the server.
  virtual const RouteInfo& route() const = 0;
  /// The first call. `head` is valid during the call; `exchange` as long as the exchange lasts.
  virtual void on_start(Exchange& exchange, const RequestHead& head) = 0;
  /// A piece of the request's body, while wanted. The last one may be empty; trailers are ready lines.
  virtual void on_body(std::string_view bytes, bool last, std::string_view trailers) = 0;
  /// Something was left unsent by `write`, and now nothing is.
  virtual void on_drained() = 0;
  /// The client is gone, or the server ends: the exchange must not be touched any more.
  virtual void on_gone() = 0;
  /// At each sweep of the server, about every 100 ms.
  virtual void on_tick(SteadyTime now) = 0;
  /// The server stops taking connections; this exchange may go on until the grace ends.
  virtual void on_drain() {}
};

/// The client's end of a `ResponseStream`, for `Response::stream`. Dropping it closes the stream.
class StreamBody;

/// The body of an answer that is made after the handler has returned: events, log lines, archives.
///
///   ResponseStream stream;
///   Response response{.headers = {{"Content-Type", "text/event-stream"}}, .stream = stream.body()};
///   hub.add(std::move(stream));   // or a thread that calls `write` until it is false
///   return response;
///
/// Thread-safe, but for moving and destroying it. Destroying it without `finish` cuts the answer off.
class ResponseStream {
 public:
  static constexpr std::size_t kDefaultLimit = 64UL * 1024;
  /// At most `limit_bytes` wait for the client (one piece may be larger when nothing else waits).
  explicit ResponseStream(std::size_t limit_bytes = kDefaultLimit);
  ResponseStream(ResponseStream&&) noexcept;
  ResponseStream& operator=(ResponseStream&&) noexcept;
  ~ResponseStream();

  /// Once: what the handler puts into its response.
  std::shared_ptr<StreamBody> body();

  enum class Offer { taken, full, closed };
  /// Never blocks. `full`: nothing was taken.
  Offer offer(std::string_view bytes);
  /// Waits until there is room. False when the client is gone, takes nothing for the server's write time-out, or the
  /// server ends.
  bool write(std::string_view bytes);
  /// The body is whole.
  void finish();
  /// The client's connection is reset: the body is not whole.
  void abort();
  bool closed() const;
  /// Fires when the client is gone or the server stops.
  std::stop_token stop_token() const;
  /// Called once, from the server's thread, when there is room again after `full`; must not block.
  void on_room(std::move_only_function<void()> callback);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace ee::net
