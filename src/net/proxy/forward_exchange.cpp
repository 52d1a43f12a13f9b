#include "net/proxy/forward_exchange.h"

#include "net/proxy/hop_fields.h"

namespace ee::net {
namespace {

bool is_safe(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }
bool is_idempotent(std::string_view method) { return is_safe(method) || method == "PUT" || method == "DELETE"; }

Milliseconds between(SteadyTime from, SteadyTime to) { return std::chrono::duration_cast<Milliseconds>(to - from); }

}  // namespace

std::shared_ptr<StreamHandler> Forwarder::open(std::unique_ptr<ForwardPolicy> policy, const RouteInfo& route) {
  return std::make_shared<ForwardExchange>(*this, std::move(policy), route);
}

ForwardExchange::ForwardExchange(const Forwarder& forwarder, std::unique_ptr<ForwardPolicy> policy,
                                 const RouteInfo& route)
    : forwarder_(forwarder), policy_(std::move(policy)), route_(route) {}

ForwardExchange::~ForwardExchange() { leave_upstream(); }

void ForwardExchange::on_start(Exchange& exchange, const RequestHead& head) {
  exchange_ = &exchange;
  loop_ = &exchange.loop();
  pool_ =
      &loop_->local<UpstreamPool>(&forwarder_, [this] { return std::make_unique<UpstreamPool>(forwarder_.limits()); });
  method_ = head.method;
  content_length_ = head.content_length;
  chunked_ = head.chunked;
  body_done_ = !head.chunked && head.content_length.value_or(0) == 0;
  websocket_ = !head.http_1_0 && is_websocket_request(head.method, head.fields);
  started_ = last_move_ = last_tick_ = now();
  policy_->begin(head, limits_);
  exchange.set_write_stall(limits_.idle);
  if (has_upgrade(head.fields) && !websocket_ && !head.http_1_0) return fail(ErrorCode::upgrade_not_supported);
  if (content_length_.value_or(0) > limits_.max_body_bytes) return fail(ErrorCode::body_too_large);
  choose_next();
}

void ForwardExchange::choose_next() {
  phase_ = Phase::choosing;
  ++summary_.attempts;
  policy_->choose(summary_.attempts, *exchange_,
                  [self = shared_from_this()](std::expected<ForwardTarget, Response> choice) {
                    self->on_chosen(std::move(choice));
                  });
}

void ForwardExchange::on_chosen(std::expected<ForwardTarget, Response> choice) {
  if (phase_ != Phase::choosing) return;  // the client is gone
  if (!choice) return answer(std::move(choice.error()));
  target_ = std::move(*choice);
  any_byte_ = false;
  interim_ = 0;
  head_.reset();
  attempt_started_ = now();
  summary_.connect = {};
  upstream_ = pool_->take(target_.pool_key, attempt_started_);
  pooled_ = upstream_ != nullptr;
  if (!pooled_) return connect();
  upstream_->use(this);
  send_request();
}

void ForwardExchange::connect() {
  phase_ = Phase::connecting;
  deadline_ = attempt_started_ + limits_.connect;
  upstream_ = std::make_shared<Upstream>(*loop_, target_);
  upstream_->use(this);
  upstream_->connect();
}

void ForwardExchange::on_connected() {
  const auto self = shared_from_this();
  summary_.connect = between(attempt_started_, now());
  send_request();
}

void ForwardExchange::on_ended(bool clean) {
  const auto self = shared_from_this();
  switch (phase_) {
    case Phase::connecting: return attempt_failed(ForwardOutcome::connect_failed, ErrorCode::upstream_connect_failed);
    case Phase::waiting:
      return attempt_failed(any_byte_ ? ForwardOutcome::bad_answer : ForwardOutcome::closed,
                            ErrorCode::upstream_protocol_error);
    case Phase::relaying:
      if (clean && body_end_ == BodyEnd::close) return answer_complete();
      return cut();
    case Phase::tunnel:
      if (!clean) return cut();
      backend_ended_ = true;
      exchange_->end_output();
      if (client_ended_ && upstream_->unsent() == 0) close_tunnel();
      return;
    case Phase::choosing:
    case Phase::ended: return;
  }
}

/// 03 section 9.7: only while no byte of an answer has come, and nothing can be done twice that must not.
bool ForwardExchange::may_retry(ForwardOutcome outcome) const {
  if (summary_.attempts >= limits_.max_attempts || any_byte_) return false;
  const bool has_body_again = !body_seen_ || replayable_;
  if (outcome == ForwardOutcome::connect_failed) return has_body_again;
  if (outcome == ForwardOutcome::closed) return (pooled_ ? is_idempotent(method_) : is_safe(method_)) && has_body_again;
  return false;
}

void ForwardExchange::attempt_failed(ForwardOutcome outcome, ErrorCode code) {
  const bool stale = pooled_ && outcome == ForwardOutcome::closed;  // says nothing of the backend
  leave_upstream();
  if (!stale) policy_->on_attempt(outcome, nullptr);
  if (!may_retry(outcome)) return fail(code);
  exchange_->want_body(false);
  choose_next();
}

void ForwardExchange::fail(ErrorCode code) {
  summary_.failed = true;
  summary_.code = code;
  answer(policy_->refusal(code));
}

void ForwardExchange::answer(Response response) {
  leave_upstream();
  summary_.status = response.status;
  Exchange& exchange = *std::exchange(exchange_, nullptr);
  exchange.respond(std::move(response));
  end();
}

/// What was sent of the answer is not whole, and the client must see that.
void ForwardExchange::cut() {
  summary_.cut = true;
  leave_upstream();
  Exchange& exchange = *std::exchange(exchange_, nullptr);
  exchange.abort();
  end();
}

void ForwardExchange::on_gone() {
  exchange_ = nullptr;
  summary_.client_gone = true;
  leave_upstream();
  end();
}

void ForwardExchange::end() {
  if (phase_ == Phase::ended) return;
  phase_ = Phase::ended;
  summary_.total = between(started_, now());
  policy_->on_end(summary_);
}

void ForwardExchange::leave_upstream() {
  if (upstream_) upstream_->close();
  upstream_.reset();
}

void ForwardExchange::on_tick(SteadyTime now) {
  const auto self = shared_from_this();
  note_progress(now);
  if (phase_ == Phase::tunnel) return check_tunnel(now);
  if (now - started_ >= limits_.total) return phase_ == Phase::relaying ? cut() : fail(ErrorCode::upstream_timeout);
  if (phase_ == Phase::connecting) {
    if (upstream_->tcp_connected() && target_.tls)
      deadline_ = std::max(deadline_, attempt_started_ + limits_.connect + limits_.tls_handshake);
    if (now >= deadline_) attempt_failed(ForwardOutcome::connect_failed, ErrorCode::upstream_connect_failed);
  } else if (phase_ == Phase::waiting) {
    if (policy_->must_give_up()) return fail(ErrorCode::service_unavailable);
    check_waiting(now);
  } else if (phase_ == Phase::relaying) {
    const bool idle = !paused_ && now - last_move_ >= (sse_ ? limits_.sse_idle : limits_.idle);
    if (idle || policy_->must_end(false)) cut();
  }
}

/// Somebody slow is not idle. What the client takes of an answer is watched by the connection (`set_write_stall`), so
/// nothing is measured here while the answer waits for it.
void ForwardExchange::note_progress(SteadyTime now) {
  const std::uint64_t taken = upstream_ ? upstream_->taken() : taken_;
  if (taken != taken_) last_move_ = std::max(last_move_, last_tick_);
  taken_ = taken;
  last_tick_ = now;
}

void ForwardExchange::check_waiting(SteadyTime now) {
  if (body_done_ && upstream_->unsent() == 0) {
    if (now >= deadline_) attempt_failed(ForwardOutcome::timed_out, ErrorCode::upstream_timeout);
  } else if (now - last_move_ >= limits_.idle) {
    const bool client_is_slow = upstream_->unsent() == 0;
    if (client_is_slow) return fail(ErrorCode::request_timeout);
    attempt_failed(ForwardOutcome::timed_out, ErrorCode::upstream_timeout);
  }
}

void ForwardExchange::check_tunnel(SteadyTime now) {
  const bool over = (!paused_ && now - last_move_ >= limits_.tunnel_idle) || now - started_ >= limits_.tunnel_life;
  if (!over && !policy_->must_end(true)) return;
  // RFC 6455 section 7.4.1, 1001: going away; to the client unmasked, to the backend with a mask of zeros.
  constexpr std::string_view kToClient("\x88\x02\x03\xe9", 4);
  constexpr std::string_view kToBackend("\x88\x82\0\0\0\0\x03\xe9", 8);
  if (!backend_ended_) exchange_->write(kToClient);
  if (!client_ended_) upstream_->send(kToBackend);
  close_tunnel();
}

}  // namespace ee::net
