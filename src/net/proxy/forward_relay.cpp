#include <array>
#include <charconv>

#include "net/proxy/forward_exchange.h"
#include "net/proxy/hop_fields.h"

namespace ee::net {
namespace {

constexpr std::size_t kHighWater = 32UL * 1024;    ///< beyond, nothing more is read from the other side
constexpr std::size_t kReplayBytes = 64UL * 1024;  ///< of a body, kept for a retry
constexpr std::size_t kMaxChunkTotal = ~std::size_t{0};
constexpr int kMaxInterim = 16;  ///< answers 1xx before the answer: nothing holds back who sends them

void append_number(std::string& out, std::uint64_t number, int base) {
  std::array<char, 20> digits{};
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr);
}

}  // namespace

void ForwardExchange::send_request() {
  phase_ = Phase::waiting;
  ++upstream_->uses;
  last_move_ = now();
  deadline_ = last_move_ + limits_.header;
  wire_.clear();
  policy_->write_request(wire_);
  if (websocket_) wire_ += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  if (chunked_) {
    wire_ += "Transfer-Encoding: chunked\r\n";
  } else if (content_length_) {
    wire_ += "Content-Length: ";
    append_number(wire_, *content_length_, 10);
    wire_ += "\r\n";
  }
  wire_ += "\r\n";
  upstream_->send(wire_);
  if (body_seen_) send_body(replay_, body_done_, replay_trailers_);
  upstream_->want(true);
  if (!body_done_ && phase_ == Phase::waiting) exchange_->want_body(upstream_->unsent() < kHighWater);
}

void ForwardExchange::send_body(std::string_view bytes, bool last, std::string_view trailers) {
  if (!chunked_) {
    upstream_->send(bytes);
    return;
  }
  wire_.clear();
  if (!bytes.empty()) {
    append_number(wire_, bytes.size(), 16);
    wire_.append("\r\n").append(bytes).append("\r\n");
  }
  if (last) wire_.append("0\r\n").append(trailers).append("\r\n");
  upstream_->send(wire_);
}

void ForwardExchange::keep_for_replay(std::string_view bytes, std::string_view trailers) {
  body_seen_ = true;
  if (!replayable_ || phase_ != Phase::waiting) return;
  if (replay_.size() + bytes.size() > kReplayBytes) {
    replayable_ = false;
    replay_ = {};
    return;
  }
  replay_ += bytes;
  replay_trailers_ = trailers;
}

void ForwardExchange::on_body(std::string_view bytes, bool last, std::string_view trailers) {
  const auto self = shared_from_this();
  if (phase_ == Phase::ended || !upstream_) return;
  last_move_ = now();
  summary_.bytes_in += bytes.size();
  if (phase_ == Phase::tunnel) {
    upstream_->send(bytes);
    if (last) {
      client_ended_ = true;
      upstream_->half_close();
      if (backend_ended_ && upstream_->unsent() == 0) return close_tunnel();
    }
  } else {
    if (summary_.bytes_in > limits_.max_body_bytes)
      return phase_ == Phase::relaying ? cut() : fail(ErrorCode::body_too_large);
    keep_for_replay(bytes, trailers);
    body_done_ = last;
    if (last) deadline_ = last_move_ + limits_.header;
    send_body(bytes, last, trailers);
  }
  if (upstream_->unsent() >= kHighWater) exchange_->want_body(false);
}

/// The backend has taken all that was sent.
void ForwardExchange::on_sent() {
  const auto self = shared_from_this();
  if (!exchange_ || phase_ == Phase::ended) return;
  last_move_ = now();
  if (phase_ == Phase::tunnel && client_ended_ && backend_ended_) return close_tunnel();
  if (phase_ == Phase::waiting && body_done_) deadline_ = last_move_ + limits_.header;
  if (!body_done_ || phase_ == Phase::tunnel) exchange_->want_body(true);
}

/// The client has taken all that was written.
void ForwardExchange::on_drained() {
  const auto self = shared_from_this();
  last_move_ = now();
  if (!paused_ || !upstream_) return;
  paused_ = false;
  if (phase_ == Phase::tunnel)
    relay_tunnel();
  else
    relay();
  if (upstream_ && !paused_) upstream_->want(true, phase_ == Phase::tunnel);
}

void ForwardExchange::on_received() {
  const auto self = shared_from_this();
  last_move_ = now();
  any_byte_ = true;
  if (phase_ == Phase::waiting && !read_head()) return;
  if (phase_ == Phase::tunnel)
    relay_tunnel();
  else if (phase_ == Phase::relaying)
    relay();
}

/// True when the answer has begun.
bool ForwardExchange::read_head() {
  while (phase_ == Phase::waiting) {
    ReadBuffer& in = upstream_->received();
    const HeadStatus status = in.empty() ? HeadStatus::incomplete : head_.read(in.view());
    if (status == HeadStatus::incomplete) return false;
    if (status == HeadStatus::refused || !on_head(head_.head())) {
      attempt_failed(ForwardOutcome::bad_answer, ErrorCode::upstream_protocol_error);
      return false;
    }
  }
  return phase_ != Phase::ended;
}

/// False when such an answer is not acceptable.
bool ForwardExchange::on_head(const ResponseHead& head) {
  ReadBuffer& in = upstream_->received();
  const std::size_t size = head_.size();
  if (head.status == 101) {
    if (!websocket_) return false;
    const auto upgrade = head.field("upgrade");
    if (!upgrade || !equal_ignoring_case(*upgrade, "websocket")) return false;
    start_tunnel(head);
    in.consume(size);
    return true;
  }
  if (head.status < 200) {
    if (++interim_ > kMaxInterim) return false;
    if (head.status != 100) on_interim(head);
    in.consume(size);
    head_.reset();
    return true;
  }
  begin_answer(head);
  in.consume(size);
  return true;
}

void ForwardExchange::on_interim(const ResponseHead& head) {
  std::string fields;
  policy_->write_response(head, fields);
  exchange_->inform(head.status, fields);
}

void ForwardExchange::begin_answer(const ResponseHead& head) {
  phase_ = Phase::relaying;
  replay_ = {};
  summary_.status = head.status;
  summary_.first_byte = std::chrono::duration_cast<Milliseconds>(last_move_ - started_);
  policy_->on_attempt(ForwardOutcome::answered, &head);
  const bool bodiless = method_ == "HEAD" || head.status == 204 || head.status == 304;
  body_end_ = bodiless              ? BodyEnd::none
              : head.chunked        ? BodyEnd::chunks
              : head.content_length ? BodyEnd::length
                                    : BodyEnd::close;
  left_ = head.content_length.value_or(0);
  keep_alive_ = head.keep_alive && body_end_ != BodyEnd::close;
  chunks_.reset();
  if (body_end_ == BodyEnd::chunks) chunks_.emplace(kMaxChunkTotal).keep_trailers();
  const auto type = head.field("content-type");
  sse_ = type && type->starts_with("text/event-stream");
  wire_.clear();
  policy_->write_response(head, wire_);
  exchange_->begin({.status = head.status,
                    .fields = wire_,
                    .content_length = head.content_length,
                    .has_date = head.field("date").has_value()});
  if (sse_) exchange_->set_write_stall(limits_.sse_idle);
}

void ForwardExchange::start_tunnel(const ResponseHead& head) {
  phase_ = Phase::tunnel;
  summary_.status = 101;
  summary_.tunnel = true;
  summary_.first_byte = std::chrono::duration_cast<Milliseconds>(last_move_ - started_);
  policy_->on_attempt(ForwardOutcome::answered, &head);
  wire_.assign("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  policy_->write_response(head, wire_);
  exchange_->set_write_stall(limits_.tunnel_idle);
  exchange_->switch_protocols(wire_);
  wire_ = {};
  upstream_->want(true, true);
}

/// Passes what has arrived, until the client is behind.
void ForwardExchange::relay() {
  if (paused_) return;
  bool complete = body_end_ == BodyEnd::none || (body_end_ == BodyEnd::length && left_ == 0);
  bool bad = false;
  std::size_t unsent = 0;
  bool wrote = false;
  std::size_t before = 0;  // a part of a chunk's size stays until the rest comes
  const ReadBuffer& in = upstream_->received();
  while (!complete && !bad && !in.empty() && in.size() != before && unsent < kHighWater) {
    before = in.size();
    unsent = relay_some(complete, bad);
    wrote = true;
  }
  if (bad) return cut();
  if (complete) return answer_complete();
  if (!wrote) unsent = exchange_->write({});  // the head alone
  paused_ = unsent >= kHighWater;
  if (paused_) upstream_->want(false);
}

std::size_t ForwardExchange::relay_some(bool& complete, bool& bad) {
  ReadBuffer& in = upstream_->received();
  const std::string_view bytes = in.view();
  std::size_t taken = bytes.size();
  std::string_view piece = bytes;
  if (body_end_ == BodyEnd::length) {
    taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    piece = bytes.substr(0, taken);
    left_ -= taken;
    complete = left_ == 0;
  } else if (body_end_ == BodyEnd::chunks) {
    piece_.clear();
    const ChunkStatus status = chunks_->decode(bytes, taken, &piece_);
    bad = status != ChunkStatus::complete && status != ChunkStatus::incomplete;
    complete = status == ChunkStatus::complete;
    piece = piece_;
  }
  summary_.bytes_out += piece.size();
  in.consume(taken);
  return exchange_->write(piece);
}

void ForwardExchange::answer_complete() {
  const std::string trailers = chunks_ ? chunks_->trailers() : std::string();
  const bool reusable = keep_alive_ && body_done_ && upstream_->unsent() == 0 && upstream_->received().empty();
  if (reusable) {
    upstream_->use(nullptr);
    pool_->put(target_.pool_key, std::move(upstream_), now());
    upstream_.reset();
  }
  leave_upstream();
  Exchange& exchange = *std::exchange(exchange_, nullptr);
  exchange.finish(trailers);
  end();
}

void ForwardExchange::relay_tunnel() {
  ReadBuffer& in = upstream_->received();
  if (in.empty() || paused_) return;
  const std::string_view bytes = in.view();
  in.consume(bytes.size());
  summary_.bytes_out += bytes.size();
  paused_ = exchange_->write(bytes) >= kHighWater;
  if (paused_) upstream_->want(false, true);
}

void ForwardExchange::close_tunnel() {
  leave_upstream();
  Exchange& exchange = *std::exchange(exchange_, nullptr);
  exchange.finish();
  end();
}

}  // namespace ee::net
