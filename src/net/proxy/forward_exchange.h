#pragma once
// Inside of net/proxy: one forwarded exchange.
#include <optional>
#include <string>

#include "net/chunked.h"
#include "net/proxy/forward.h"
#include "net/proxy/upstream.h"
#include "net/proxy/upstream_pool.h"

namespace ee::net {

/// choosing -> connecting -> waiting for the head -> relaying the body, or a tunnel. A failed attempt goes back to
/// choosing where a retry can do no harm. All on the io thread of the client's connection.
class ForwardExchange final : public StreamHandler,
                              private UpstreamUser,
                              public std::enable_shared_from_this<ForwardExchange> {
 public:
  ForwardExchange(const Forwarder& forwarder, std::unique_ptr<ForwardPolicy> policy, const RouteInfo& route);
  ~ForwardExchange() override;

  const RouteInfo& route() const override { return route_; }
  void on_start(Exchange& exchange, const RequestHead& head) override;
  void on_body(std::string_view bytes, bool last, std::string_view trailers) override;
  void on_drained() override;
  void on_gone() override;
  void on_tick(SteadyTime now) override;

 private:
  enum class Phase { choosing, connecting, waiting, relaying, tunnel, ended };
  enum class BodyEnd { none, length, chunks, close };

  void on_connected() override;
  void on_received() override;
  void on_sent() override;
  void on_ended(bool clean) override;

  // forward_exchange.cpp: attempts and time
  void choose_next();
  void on_chosen(std::expected<ForwardTarget, Response> choice);
  void connect();
  void attempt_failed(ForwardOutcome outcome, ErrorCode code);
  bool may_retry(ForwardOutcome outcome) const;
  void fail(ErrorCode code);
  void answer(Response response);
  void cut();
  void end();
  void leave_upstream();
  void note_progress(SteadyTime now);
  void check_waiting(SteadyTime now);
  void check_tunnel(SteadyTime now);
  SteadyTime now() const { return loop_->clock().steady_now(); }

  // forward_relay.cpp: bytes
  void send_request();
  void send_body(std::string_view bytes, bool last, std::string_view trailers);
  void keep_for_replay(std::string_view bytes, std::string_view trailers);
  bool read_head();
  bool on_head(const ResponseHead& head);
  void on_interim(const ResponseHead& head);
  void begin_answer(const ResponseHead& head);
  void start_tunnel(const ResponseHead& head);
  void relay();
  std::size_t relay_some(bool& complete, bool& bad);
  void answer_complete();
  void relay_tunnel();
  void close_tunnel();

  const Forwarder& forwarder_;
  std::unique_ptr<ForwardPolicy> policy_;
  const RouteInfo& route_;
  Exchange* exchange_ = nullptr;
  IoLoop* loop_ = nullptr;
  UpstreamPool* pool_ = nullptr;
  ForwardLimits limits_;
  Phase phase_ = Phase::choosing;
  ForwardTarget target_;
  std::shared_ptr<Upstream> upstream_;
  bool pooled_ = false;
  bool any_byte_ = false;  ///< of an answer

  std::string method_;
  std::optional<std::uint64_t> content_length_;
  bool chunked_ = false;
  bool websocket_ = false;
  bool body_done_ = true;
  bool body_seen_ = false;
  bool replayable_ = true;
  std::string replay_;  ///< the body so far, while a retry may need it
  std::string replay_trailers_;
  std::string wire_;  ///< a framed piece on its way

  ResponseHeadReader head_;
  BodyEnd body_end_ = BodyEnd::none;
  std::uint64_t left_ = 0;
  std::optional<ChunkedDecoder> chunks_;
  std::string piece_;
  bool keep_alive_ = false;
  int interim_ = 0;
  bool paused_ = false;
  bool sse_ = false;
  bool client_ended_ = false;  ///< of a tunnel
  bool backend_ended_ = false;

  SteadyTime started_{};
  SteadyTime attempt_started_{};
  SteadyTime deadline_{};  ///< of connecting, or of the head once the request is sent
  SteadyTime last_move_{};
  SteadyTime last_tick_{};
  std::uint64_t taken_ = 0;  ///< by the backend's socket at that time
  ForwardSummary summary_;
};

}  // namespace ee::net
