#pragma once
// Inside of net/server: one connection.
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "net/asio.h"
#include "net/body_rate.h"
#include "net/chunked.h"
#include "net/head.h"
#include "net/io_loop.h"
#include "net/polled_socket.h"
#include "net/read_buffer.h"
#include "net/server_state.h"
#include "net/stream.h"

namespace ee::net {

/// Reads requests off one socket, in order, and answers each. Lives on its loop's thread; only the handler's end comes
/// from another one, posted.
///
/// Bytes go socket -> (TLS) -> `in_` -> head and body -> application -> `out_` -> (TLS) -> `sending_` -> socket.
/// Answers of pipelined requests gather in `out_` and leave in one write. While a write is not finished, no further
/// request is looked at, so what a peer makes us hold is bounded.
class Connection final : public std::enable_shared_from_this<Connection>, public PolledUser, private Exchange {
 public:
  Connection(ServerState& state, IoLoop& loop, Socket socket, std::string peer_address, std::string address_key);

  void start();
  void sweep(SteadyTime now);
  void begin_drain();
  /// Closes; a running handler's stop token fires.
  void close();
  /// The same, and what the peer has not read yet is lost.
  void reset();

  std::size_t index = 0;  ///< the loop's

 private:
  enum class State { head, body, handler, stream, linger, closed };

  /// What a worker works on.
  struct Handling {
    Request request;
    Response response;
    std::stop_source stop;
    InFlightSlot slot;
    InFlightSlot route_slot;  ///< by the route's own bound, if it has one
    bool client_takes_gzip = false;
    std::atomic<bool> started = false;
  };

  /// What one streamed exchange needs (net/stream.h).
  struct Streaming {
    std::shared_ptr<StreamHandler> handler;
    bool begun = false;  ///< the answer
    bool chunked = false;
    bool bodiless = false;
    bool keep_alive = false;  ///< promised
    bool body_wanted = false;
    bool body_done = false;
    bool must_say_continue = false;
    bool tunnel = false;
    bool output_ended = false;
    bool stalled = false;  ///< `on_drained` is owed
    std::optional<std::uint64_t> answer_left;
    std::uint64_t bytes_out = 0;
    int status = 0;
    Milliseconds write_stall{};
    std::string principal;
    std::string code;
  };

  /// What must be known of the request until its answer is written. The texts keep their memory from one to the next.
  struct Meta {
    std::string method;
    std::string path;
    std::string query;
    std::string client_address;
    std::string request_id;
    std::string traceparent;
    std::string allowed_origin;
    const RouteInfo* route = nullptr;
    std::size_t route_index = 0;
    std::uint64_t bytes_in = 0;
    bool http_1_0 = false;
    bool keep_alive = true;
    bool client_takes_gzip = false;
  };

  // connection.cpp: bytes in and out, time
  void want_read();
  std::size_t bytes_to_read(bool takes_body) const;
  void on_read(const boost::system::error_code& error, std::size_t bytes) override;
  bool take_in(std::size_t bytes);
  void on_peer_gone(bool end_of_file);
  void process();
  void flush();
  void fail();
  std::size_t write_some(std::string_view bytes, boost::system::error_code& error);
  void write_rest();
  void on_written(const boost::system::error_code& error, std::size_t bytes) override;
  void shut_down_output();
  void begin_linger();
  void on_timeout();

  // connection_request.cpp: what the bytes mean
  bool read_head();
  void begin_request(Head& head);
  void fill_meta(const Head& head);
  RequestHead request_head(const Head& head) const;
  bool answer_preflight(const Head& head);
  std::optional<Response> admit(const Head& head, Admission& admission);
  void answer_without_body(const Head& head, Response response);
  Request make_request(const Head& head, std::vector<RouteParam> params);
  bool read_body();
  bool grow_body(std::size_t bytes);
  void body_complete();
  void serve(Request request);
  void dispatch(Request request);
  void run(const std::shared_ptr<Handling>& handling);
  void on_handled(const std::shared_ptr<Handling>& handling);
  void on_handler_timeout();
  void refuse(ErrorCode code, std::string_view detail = {});
  Response problem(ErrorCode code, std::string_view detail = {});
  void answer(Response response, bool must_close = false);
  void answer_streamed(Response response);
  bool may_keep_alive() const;
  void observe(const Response& response, std::uint64_t bytes_out);

  // connection_stream.cpp: exchanges that are streamed
  bool open_stream(const Head& head);
  bool read_stream();
  bool read_tunnel();
  bool deliver_drained();
  bool may_drop_rest() const;
  void append_piece(std::string_view bytes);
  void end_stream();
  void observe_stream();
  void break_stream(ErrorCode code, std::string_view detail);
  void after_stream(bool body_left);
  void resume();

  // Exchange
  void respond(Response response) override;
  void inform(int status, std::string_view fields) override;
  void begin(const StreamHead& head) override;
  std::size_t write(std::string_view bytes) override;
  std::size_t unsent() const override { return out_.size() + wire_.size() + sending_.size() - (writing_ ? sent_ : 0); }
  void finish(std::string_view trailers) override;
  void abort() override;
  void want_body(bool wanted) override;
  void switch_protocols(std::string_view fields) override;
  void end_output() override;
  void note(std::string_view principal, std::string_view code) override;
  void set_write_stall(Milliseconds time) override;
  bool run_on_worker(std::move_only_function<Continuation()> job, bool outside) override;
  IoLoop& loop() override { return loop_; }
  bool http_1_0() const override { return meta_.http_1_0; }

  ServerState& state_;
  IoLoop& loop_;
  Socket socket_;
  std::shared_ptr<PolledSocket> polled_;  ///< instead of it, for TCP
  const std::string peer_address_;
  const std::string address_key_;
  std::optional<IpAddress> peer_;
  bool peer_trusted_ = false;

  State phase_ = State::head;
  SteadyTime now_{};
  SteadyTime deadline_{};        ///< of the phase
  SteadyTime write_deadline_{};  ///< while `writing_`
  SteadyTime request_started_{};
  bool reading_ = false;
  bool writing_ = false;
  bool end_of_file_ = false;
  bool closing_ = false;  ///< after what is in `out_` and `sending_`
  bool head_started_ = false;
  std::size_t requests_ = 0;

  ReadBuffer in_;
  std::string out_;
  std::string sending_;  ///< untouched while `writing_`
  std::string wire_;     ///< encrypted, for `sending_` next
  std::size_t sent_ = 0;
  std::unique_ptr<TlsSession> tls_;
  ReadBuffer tls_in_;
  bool tls_closed_ = false;

  HeadReader reader_;
  Meta meta_;
  std::optional<Request> request_;  ///< while its body is read
  std::optional<ChunkedDecoder> chunks_;
  std::uint64_t body_left_ = 0;
  bool discarding_ = false;  ///< the request is answered; its body is read to keep the connection
  BodyRate body_rate_;
  std::size_t charged_ = 0;
  std::shared_ptr<Handling> handling_;
  std::size_t lingered_ = 0;
  std::unique_ptr<Streaming> stream_;
  std::string piece_;  ///< decoded, of a chunked body
  bool processing_ = false;
  bool resuming_ = false;  ///< `process` is posted
  bool broken_ = false;    ///< the socket; noticed inside a call of the stream's handler
};

}  // namespace ee::net
