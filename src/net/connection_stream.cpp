#include <fmt/format.h>

#include <charconv>

#include "common/require.h"
#include "net/connection.h"
#include "net/response_pump.h"
#include "net/response_writer.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxDiscard = 64UL * 1024;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr int kClientClosed = 499;  ///< in records only: the client left before it had an answer

void append_hex(std::string& out, std::size_t number) {
  std::array<char, 16> digits{};
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr);
}

}  // namespace

/// Whether the application streams this request.
bool Connection::open_stream(const Head& head) {
  const RequestHead request = request_head(head);
  std::shared_ptr<StreamHandler> handler;
  try {
    handler = state_.app.open_stream(request);
  } catch (...) {
    answer_without_body(head, problem(ErrorCode::internal_error));
    return true;
  }
  if (!handler) return false;
  meta_.route = &handler->route();
  meta_.allowed_origin.clear();
  if (head.content_length.value_or(0) > meta_.route->max_body_bytes) {
    answer_without_body(head, problem(ErrorCode::body_too_large));
    return true;
  }
  chunks_.reset();
  if (head.chunked) chunks_.emplace(meta_.route->max_body_bytes).keep_trailers();
  body_left_ = head.content_length.value_or(0);
  stream_ = std::make_unique<Streaming>();
  stream_->handler = handler;
  stream_->body_done = !head.has_body();
  stream_->must_say_continue = head.expects_continue && head.has_body() && in_.size() == reader_.size();
  stream_->write_stall = state_.config.write_stall_timeout;
  phase_ = State::stream;
  in_.consume(reader_.size());  // the head's bytes stay where they are until more is read
  handler->on_start(*this, request);
  return true;
}

/// What a `ResponseStream` brings, after the handler's answer.
void Connection::answer_streamed(Response response) {
  if (!meta_.allowed_origin.empty()) {
    response.headers.push_back({"Access-Control-Allow-Origin", meta_.allowed_origin});
    response.headers.push_back({"Vary", "Origin"});
  }
  stream_ = std::make_unique<Streaming>();
  stream_->handler = make_response_pump(response.stream, *meta_.route);
  stream_->body_done = true;
  stream_->write_stall = state_.config.write_stall_timeout;
  stream_->principal = response.principal;
  stream_->code = response.code;
  phase_ = State::stream;
  state_.uncharge_body(std::exchange(charged_, 0));
  std::string fields;
  write_fields(fields, response, {.security_headers = meta_.route->security_headers, .hsts = state_.config.hsts});
  begin({.status = response.status, .fields = fields});
  if (stream_->bodiless) return finish({});
  const std::shared_ptr<StreamHandler> handler = stream_->handler;
  handler->on_start(*this, RequestHead{});
}

/// False when there is nothing to do now.
bool Connection::read_stream() {
  Streaming& stream = *stream_;
  if (stream.tunnel) return read_tunnel();
  if (stream.body_done || !stream.body_wanted || in_.empty()) return false;
  const std::string_view bytes = in_.view();
  std::size_t taken = 0;
  std::string_view piece;
  if (chunks_) {
    piece_.clear();
    const ChunkStatus status = chunks_->decode(bytes, taken, &piece_);
    if (status == ChunkStatus::bad_chunk) return break_stream(ErrorCode::bad_request_framing, "malformed chunk"), false;
    if (status == ChunkStatus::too_large) return break_stream(ErrorCode::body_too_large, {}), false;
    piece = piece_;
    stream.body_done = status == ChunkStatus::complete;
  } else {
    taken = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, bytes.size()));
    piece = bytes.substr(0, taken);
    body_left_ -= taken;
    stream.body_done = body_left_ == 0;
  }
  in_.consume(taken);
  meta_.bytes_in += taken;
  if (taken == 0) return false;
  const std::shared_ptr<StreamHandler> handler = stream.handler;
  if (!piece.empty() || stream.body_done)
    handler->on_body(piece, stream.body_done,
                     stream.body_done && chunks_ ? std::string_view(chunks_->trailers()) : std::string_view());
  return true;
}

bool Connection::read_tunnel() {
  Streaming& stream = *stream_;
  if (!stream.body_wanted || stream.body_done) return false;
  const std::shared_ptr<StreamHandler> handler = stream.handler;
  if (in_.empty()) {
    if (!end_of_file_) return false;
    stream.body_done = true;
    handler->on_body({}, true, {});
    return true;
  }
  const std::string_view bytes = in_.view();
  in_.consume(bytes.size());
  meta_.bytes_in += bytes.size();
  handler->on_body(bytes, false, {});
  return true;
}

/// The request's body is broken: nothing more can be read off this connection.
void Connection::break_stream(ErrorCode code, std::string_view detail) {
  if (stream_->begun) return reset();
  const std::unique_ptr<Streaming> ended = std::move(stream_);
  answer(problem(code, detail), true);
  ended->handler->on_gone();
}

bool Connection::deliver_drained() {
  if (phase_ != State::stream || writing_ || broken_ || !stream_->stalled || unsent() > 0) return false;
  stream_->stalled = false;
  const std::shared_ptr<StreamHandler> handler = stream_->handler;
  handler->on_drained();
  return true;
}

/// Whether what is left of the request's body can be read and dropped to keep the connection.
bool Connection::may_drop_rest() const {
  return stream_->body_done || (!chunks_ && !stream_->must_say_continue && body_left_ <= kMaxDiscard);
}

void Connection::respond(Response response) {
  require(stream_ && !stream_->begun);
  const auto self = shared_from_this();
  const bool droppable = may_drop_rest();
  const std::unique_ptr<Streaming> ended = std::move(stream_);
  now_ = state_.clock.steady_now();
  answer(std::move(response), !droppable);
  after_stream(!ended->body_done);
}

void Connection::inform(int status, std::string_view fields) {
  if (meta_.http_1_0 || stream_->begun) return;
  write_status_line(out_, status);
  out_.append(fields).append("\r\n");
  if (!processing_) flush();
}

void Connection::begin(const StreamHead& head) {
  Streaming& stream = *stream_;
  require(!stream.begun && head.status >= 200);
  stream.begun = true;
  stream.status = head.status;
  stream.bodiless = meta_.method == "HEAD" || head.status == 204 || head.status == 304;
  stream.chunked = !stream.bodiless && !head.content_length && !meta_.http_1_0;
  const bool framed = stream.bodiless || stream.chunked || head.content_length;
  stream.keep_alive = framed && may_keep_alive() && may_drop_rest();
  const std::size_t before = out_.size();
  write_status_line(out_, head.status);
  if (!head.has_date) out_.append("Date: ").append(loop_.date()).append("\r\n");
  out_ += head.fields;
  if (head.content_length && head.status != 204) {
    std::array<char, 20> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *head.content_length).ptr;
    out_.append("Content-Length: ").append(digits.data(), end).append("\r\n");
  }
  if (!stream.bodiless) stream.answer_left = head.content_length;
  if (stream.chunked) out_ += "Transfer-Encoding: chunked\r\n";
  out_.append("X-Request-Id: ").append(meta_.request_id).append("\r\n");
  if (!stream.keep_alive)
    out_ += "Connection: close\r\n";
  else if (meta_.http_1_0)
    out_ += "Connection: keep-alive\r\n";
  out_ += "\r\n";
  stream.bytes_out += out_.size() - before;
}

std::size_t Connection::write(std::string_view bytes) {
  require(stream_ && stream_->begun);
  append_piece(bytes);
  if (!processing_) flush();
  if (unsent() > 0) stream_->stalled = true;
  return unsent();
}

void Connection::append_piece(std::string_view bytes) {
  Streaming& stream = *stream_;
  if (stream.answer_left) {
    bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(*stream.answer_left, bytes.size())));
    *stream.answer_left -= bytes.size();
  }
  if (bytes.empty() || stream.bodiless || stream.output_ended) return;
  const std::size_t before = out_.size();
  if (stream.chunked) {
    append_hex(out_, bytes.size());
    out_.append("\r\n").append(bytes).append("\r\n");
  } else {
    out_ += bytes;
  }
  stream.bytes_out += out_.size() - before;
}

void Connection::finish(std::string_view trailers) {
  require(stream_ && stream_->begun);
  if (stream_->answer_left.value_or(0) > 0) return abort();
  const auto self = shared_from_this();
  if (stream_->chunked) out_.append("0\r\n").append(trailers).append("\r\n");
  observe_stream();
  if (!stream_->keep_alive || !may_drop_rest()) closing_ = true;
  const std::unique_ptr<Streaming> ended = std::move(stream_);
  now_ = state_.clock.steady_now();
  phase_ = State::head;
  head_started_ = false;
  reader_.reset();
  deadline_ = now_ + state_.config.idle_timeout;
  after_stream(!ended->body_done);
}

/// The exchange is over, its handler has been let go; goes on with the connection.
void Connection::after_stream(bool body_left) {
  if (phase_ == State::closed) return;
  if (body_left && !closing_) {
    discarding_ = true;
    phase_ = State::body;
    deadline_ = now_ + state_.config.header_timeout;
  }
  if (processing_) return;
  flush();
  if (phase_ != State::closed && (!in_.empty() || !reading_ || end_of_file_)) resume();
}

/// `process`, but not inside the call of a handler.
void Connection::resume() {
  if (processing_ || std::exchange(resuming_, true)) return;
  loop_.post([self = shared_from_this()] {
    self->resuming_ = false;
    self->now_ = self->state_.clock.steady_now();
    self->process();
  });
}

void Connection::abort() {
  const auto self = shared_from_this();
  observe_stream();
  const std::unique_ptr<Streaming> ended = std::move(stream_);
  reset();
}

void Connection::want_body(bool wanted) {
  stream_->body_wanted = wanted;
  if (!wanted) return;
  if (stream_->must_say_continue && !stream_->begun) {
    out_ += kContinue;
    stream_->must_say_continue = false;
    if (!processing_) flush();
  }
  if (!in_.empty() || !reading_) resume();
}

void Connection::switch_protocols(std::string_view fields) {
  Streaming& stream = *stream_;
  require(!stream.begun);
  stream.begun = stream.tunnel = stream.body_wanted = true;
  stream.body_done = false;
  stream.status = 101;
  chunks_.reset();
  const std::size_t before = out_.size();
  out_.append("HTTP/1.1 101 Switching Protocols\r\n").append(fields);
  out_.append("X-Request-Id: ").append(meta_.request_id).append("\r\n\r\n");
  stream.bytes_out += out_.size() - before;
  if (!processing_) flush();
  resume();
}

void Connection::end_output() {
  stream_->output_ended = true;
  if (!processing_) flush();
}

void Connection::note(std::string_view principal, std::string_view code) {
  if (!principal.empty()) stream_->principal = principal;
  if (!code.empty()) stream_->code = code;
}

void Connection::set_write_stall(Milliseconds time) { stream_->write_stall = time; }

bool Connection::run_on_worker(std::move_only_function<Continuation()> job, bool outside) {
  InFlightSlot slot = state_.take_slot(false);
  if (!slot) return false;
  state_.pool.submit(outside ? Lane::outside : Lane::normal,
                     [&loop = loop_, slot = std::move(slot), job = std::move(job)]() mutable {
                       Continuation then = job();
                       slot.release();
                       if (then) loop.post(std::move(then));
                     });
  return true;
}

void Connection::observe_stream() {
  const Response response{.status = stream_->begun ? stream_->status : kClientClosed,
                          .principal = stream_->principal,
                          .code = stream_->code};
  observe(response, stream_->bytes_out);
}

}  // namespace ee::net
