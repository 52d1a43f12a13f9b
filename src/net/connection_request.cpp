#include <fmt/format.h>

#include <algorithm>

#include "common/problem.h"
#include "net/connection.h"
#include "net/negotiate.h"
#include "net/response_writer.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxDiscard = 64UL * 1024;  ///< of a refused request's body; beyond, the connection is closed
constexpr std::size_t kBodyStart = 16UL * 1024;   ///< room that a body is given at first, if it is that long
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

/// Room for `more` bytes and for what of the `left` is announced, but never for more than four times what has come (at
/// first kBodyStart): a body that grows by doubling is copied at each turn, and a length costs its sender nothing.
void make_room(std::string& body, std::size_t more, std::uint64_t left) {
  const std::size_t needed = body.size() + more;
  if (needed <= body.capacity()) return;
  const std::uint64_t wanted = std::min<std::uint64_t>(body.size() + left, std::max(4 * needed, kBodyStart));
  body.reserve(static_cast<std::size_t>(wanted));
}

}  // namespace

/// False when more bytes are needed.
bool Connection::read_head() {
  if (in_.empty()) return false;
  if (!head_started_) {
    head_started_ = true;
    request_started_ = now_;
    deadline_ = now_ + state_.config.header_timeout;
  }
  switch (reader_.read(in_.view())) {
    case HeadStatus::incomplete: return false;
    case HeadStatus::refused: refuse(reader_.error(), reader_.reason()); return false;
    case HeadStatus::complete: begin_request(reader_.head()); return phase_ != State::closed;
  }
  return false;
}

void Connection::fill_meta(const Head& head) {
  meta_.method.assign(head.method);
  meta_.path.assign(head.path);
  meta_.query.assign(head.query);
  meta_.traceparent.clear();
  meta_.allowed_origin.clear();
  meta_.request_id.clear();
  meta_.route = nullptr;
  meta_.route_index = 0;
  meta_.bytes_in = reader_.size();
  meta_.http_1_0 = head.http_1_0;
  meta_.keep_alive = head.keep_alive;
  meta_.client_takes_gzip = false;
  for (const HeadField& field : head.fields) {
    switch (field.name.size()) {
      case 6:
        if (equal_ignoring_case(field.name, "origin") && state_.app.allows_origin(field.value))
          meta_.allowed_origin.assign(field.value);
        break;
      case 11:
        if (equal_ignoring_case(field.name, "traceparent") && is_traceparent(field.value))
          meta_.traceparent.assign(field.value);
        break;
      case 12:
        if (equal_ignoring_case(field.name, "x-request-id") && is_request_id(field.value))
          meta_.request_id.assign(field.value);
        break;
      case 15:
        if (equal_ignoring_case(field.name, "accept-encoding")) meta_.client_takes_gzip = accepts_gzip(field.value);
        break;
      default: break;
    }
  }
  if (meta_.request_id.empty()) meta_.request_id = loop_.next_request_id();
  if (peer_trusted_)
    meta_.client_address = state_.proxies.client_of(peer_address_, peer_, head.fields);
  else
    meta_.client_address.assign(peer_address_);
}

void Connection::begin_request(Head& head) {
  ++requests_;
  fill_meta(head);
  if (!peer_trusted_)
    std::erase_if(head.fields, [](const HeadField& field) { return is_forwarding_field(field.name); });
  if (const auto expect = head.field("expect"); expect && !head.expects_continue && !head.http_1_0)
    return answer_without_body(head, Response{.status = 417, .close = true});
  if (open_stream(head) || answer_preflight(head)) return;
  Admission admission;
  if (auto refusal = admit(head, admission)) return answer_without_body(head, std::move(*refusal));

  Request request = make_request(head, std::move(admission.params));
  const bool has_body = head.has_body();
  const bool must_say_continue = head.expects_continue && in_.size() == reader_.size();
  chunks_.reset();
  if (head.chunked) chunks_.emplace(meta_.route->max_body_bytes);
  body_left_ = head.content_length.value_or(0);
  in_.consume(reader_.size());
  if (!has_body) return serve(std::move(request));
  if (must_say_continue) out_ += kContinue;
  request_ = std::move(request);
  discarding_ = false;
  phase_ = State::body;
  deadline_ = now_ + state_.config.body_timeout;
  body_rate_.start(now_, state_.config.body_rate_window);
}

RequestHead Connection::request_head(const Head& head) const {
  return {.method = head.method,
          .path = head.path,
          .query = head.query,
          .fields = head.fields,
          .content_length = head.content_length,
          .chunked = head.chunked,
          .peer_address = peer_address_,
          .client_address = meta_.client_address,
          .request_id = meta_.request_id,
          .traceparent = meta_.traceparent,
          .peer_trusted = peer_trusted_,
          .http_1_0 = head.http_1_0,
          .tls = tls_ != nullptr};
}

/// The application's answer at once, or the server's own refusal; else the route is noted and nothing returned.
std::optional<Response> Connection::admit(const Head& head, Admission& admission) {
  try {
    admission = state_.app.admit(request_head(head));
  } catch (...) {
    return problem(ErrorCode::internal_error);
  }
  meta_.route = admission.route;
  meta_.route_index = admission.route_index;
  if (admission.answer) return std::move(admission.answer);
  if (!admission.route) return problem(ErrorCode::internal_error);
  if (head.content_length.value_or(0) > admission.route->max_body_bytes)
    return problem(ErrorCode::body_too_large, fmt::format("at most {} bytes", admission.route->max_body_bytes));
  if (state_.sheds(admission.route->shed)) return problem(ErrorCode::overloaded);
  return std::nullopt;
}

/// CORS for a script on an allowed page: what a cross-origin request may have (Fetch standard, CORS-preflight).
bool Connection::answer_preflight(const Head& head) {
  if (head.method != "OPTIONS" || meta_.allowed_origin.empty() || !head.field("access-control-request-method"))
    return false;
  Response response{.status = 204};
  response.headers = {{"Access-Control-Allow-Methods", state_.config.cors_methods},
                      {"Access-Control-Allow-Headers",
                       "Authorization, Content-Type, Idempotency-Key, If-Match, X-CSRF-Token, X-Request-Id"},
                      {"Access-Control-Max-Age", "600"}};
  answer_without_body(head, std::move(response));
  return true;
}

/// Answers before the body was read. A short body is read and dropped, to keep the connection.
void Connection::answer_without_body(const Head& head, Response response) {
  const bool has_body = head.has_body();
  const bool droppable = !head.expects_continue && head.content_length.value_or(0) <= kMaxDiscard;
  body_left_ = head.content_length.value_or(0);
  chunks_.reset();
  if (head.chunked) chunks_.emplace(kMaxDiscard);
  in_.consume(reader_.size());
  compress(response, meta_.client_takes_gzip);
  answer(std::move(response), has_body && !droppable);
  if (!has_body || closing_ || phase_ == State::closed) return;
  discarding_ = true;
  phase_ = State::body;
  deadline_ = now_ + state_.config.header_timeout;
}

Request Connection::make_request(const Head& head, std::vector<RouteParam> params) {
  Request request{.method = meta_.method,
                  .path = meta_.path,
                  .query = meta_.query,
                  .peer_address = peer_address_,
                  .client_address = meta_.client_address,
                  .request_id = meta_.request_id,
                  .traceparent = meta_.traceparent,
                  .route = meta_.route_index,
                  .params = std::move(params)};
  request.headers.reserve(head.fields.size());
  for (const HeadField& field : head.fields)
    request.headers.push_back({std::string(field.name), std::string(field.value)});
  return request;
}

/// False when more bytes are needed.
bool Connection::read_body() {
  const std::string_view bytes = in_.view();
  if (bytes.empty()) return false;
  std::size_t taken = 0;
  bool complete = false;
  if (chunks_) {
    std::string* const body = discarding_ ? nullptr : &request_->body;
    const std::size_t before = body ? body->size() : 0;
    const ChunkStatus status = chunks_->decode(bytes, taken, body);
    if (status == ChunkStatus::bad_chunk) return refuse(ErrorCode::bad_request_framing, "malformed chunk"), false;
    if (status == ChunkStatus::too_large) {
      refuse(ErrorCode::body_too_large, fmt::format("at most {} bytes", meta_.route ? meta_.route->max_body_bytes : 0));
      return false;
    }
    if (body && !grow_body(body->size() - before)) return false;
    complete = status == ChunkStatus::complete;
  } else {
    taken = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, bytes.size()));
    if (!discarding_) {
      if (!grow_body(taken)) return false;
      make_room(request_->body, taken, body_left_);
      request_->body.append(bytes.substr(0, taken));
    }
    body_left_ -= taken;
    complete = body_left_ == 0;
  }
  in_.consume(taken);
  if (!discarding_) {
    meta_.bytes_in += taken;
    body_rate_.received(now_, taken);
  }
  if (complete) body_complete();
  return complete && phase_ != State::closed;
}

/// Counts bytes of a body against the server's bound; false when refused.
bool Connection::grow_body(std::size_t bytes) {
  if (!state_.charge_body(bytes)) return refuse(ErrorCode::overloaded), false;
  charged_ += bytes;
  return true;
}

void Connection::body_complete() {
  phase_ = State::head;
  chunks_.reset();
  if (std::exchange(discarding_, false)) {
    deadline_ = now_ + state_.config.idle_timeout;
    return;
  }
  Request request = std::move(*request_);
  request_.reset();
  serve(std::move(request));
}

void Connection::serve(Request request) {
  request.deadline = now_ + meta_.route->handler_timeout;
  if (meta_.route->fast) {
    std::optional<Response> ready;
    try {
      ready = state_.app.try_fast(request);
    } catch (...) {
      ready = problem(ErrorCode::internal_error);
    }
    if (ready) {
      compress(*ready, meta_.client_takes_gzip);
      return answer(std::move(*ready));
    }
  }
  dispatch(std::move(request));
}

void Connection::dispatch(Request request) {
  InFlightSlot route_slot;
  if (WorkBound* const bound = meta_.route->bound.get()) {
    route_slot = ServerState::take_slot(*bound);
    if (!route_slot) {
      const Seconds later(state_.random.between(bound->retry_after_min.count(), bound->retry_after_max.count()));
      return answer(problem_response({.code = ErrorCode::overloaded, .retry_after = later}, meta_.request_id));
    }
  }
  InFlightSlot slot = state_.take_slot(meta_.route->reserved);
  if (!slot) return answer(problem(ErrorCode::overloaded));
  handling_ = std::make_shared<Handling>();
  handling_->request = std::move(request);
  handling_->request.stop = handling_->stop.get_token();
  handling_->slot = std::move(slot);
  handling_->route_slot = std::move(route_slot);
  handling_->client_takes_gzip = meta_.client_takes_gzip;
  phase_ = State::handler;
  deadline_ = handling_->request.deadline;
  const Lane lane = meta_.route->reserved ? Lane::reserved : meta_.route->outside ? Lane::outside : Lane::normal;
  state_.pool.submit(lane, [self = shared_from_this(), handling = handling_] { self->run(handling); });
}

/// On a worker. Touches nothing of the connection but what never changes.
void Connection::run(const std::shared_ptr<Handling>& handling) {
  handling->started.store(true, std::memory_order_relaxed);
  if (!handling->stop.stop_requested()) {
    try {
      const std::string request_id = handling->request.request_id;
      try {
        handling->response = state_.app.handle(std::move(handling->request));
      } catch (...) {
        handling->response = problem_response({.code = ErrorCode::internal_error}, request_id);
      }
      compress(handling->response, handling->client_takes_gzip);
    } catch (...) {  // out of memory
      handling->response = {.status = 500, .close = true};
    }
  }
  handling->slot.release();
  handling->route_slot.release();
  loop_.post([self = shared_from_this(), handling] { self->on_handled(handling); });
}

void Connection::on_handled(const std::shared_ptr<Handling>& handling) {
  if (handling_ != handling) return;  // answered by a time-out, or the connection is gone
  handling_.reset();
  now_ = state_.clock.steady_now();
  answer(std::move(handling->response));
  process();
}

void Connection::on_handler_timeout() {
  const std::shared_ptr<Handling> handling = std::move(handling_);
  handling_.reset();
  handling->stop.request_stop();
  const bool started = handling->started.load(std::memory_order_relaxed);
  answer(problem(started ? ErrorCode::handler_timeout : ErrorCode::overloaded));
}

Response Connection::problem(ErrorCode code, std::string_view detail) {
  Error error{.code = code, .detail = std::string(detail)};
  if (code == ErrorCode::overloaded) error.retry_after = state_.retry_after();
  return problem_response(error, meta_.request_id);
}

/// Answers what the connection cannot go on after.
void Connection::refuse(ErrorCode code, std::string_view detail) {
  if (phase_ == State::head) {  // no request yet: nothing of the last one may be said of it
    meta_.method.clear();
    meta_.path.clear();
    meta_.query.clear();
    meta_.traceparent.clear();
    meta_.allowed_origin.clear();
    meta_.client_address = peer_address_;
    meta_.request_id = loop_.next_request_id();
    meta_.route = nullptr;
    meta_.bytes_in = in_.size();
    meta_.http_1_0 = false;
  }
  if (discarding_) return close();  // its answer is sent already
  answer(problem(code, detail), true);
}

bool Connection::may_keep_alive() const {
  return meta_.keep_alive && requests_ < state_.config.max_requests_per_connection &&
         !state_.draining.load(std::memory_order_relaxed);
}

void Connection::answer(Response response, bool must_close) {
  if (response.drop) return close();
  if (response.stream) return answer_streamed(std::move(response));
  const bool keep_alive = !must_close && !response.close && may_keep_alive();
  if (!meta_.allowed_origin.empty()) {
    response.headers.push_back({"Access-Control-Allow-Origin", meta_.allowed_origin});
    response.headers.push_back({"Vary", "Origin"});
  }
  const std::size_t before = out_.size();
  write_response(out_, response,
                 {.request_id = meta_.request_id,
                  .date = loop_.date(),
                  .keep_alive = keep_alive,
                  .http_1_0 = meta_.http_1_0,
                  .head = meta_.method == "HEAD",
                  .security_headers = !meta_.route || meta_.route->security_headers,
                  .hsts = state_.config.hsts});
  if (!keep_alive) closing_ = true;
  state_.uncharge_body(charged_);
  charged_ = 0;
  request_.reset();
  observe(response, out_.size() - before);
  phase_ = State::head;
  head_started_ = false;
  reader_.reset();
  deadline_ = now_ + state_.config.idle_timeout;
}

void Connection::observe(const Response& response, std::uint64_t bytes_out) {
  const SteadyTime end = state_.clock.steady_now();
  try {
    state_.app.observe({.route = meta_.route,
                        .method = meta_.method,
                        .path = meta_.path,
                        .query = meta_.query,
                        .client_address = meta_.client_address,
                        .request_id = meta_.request_id,
                        .traceparent = meta_.traceparent,
                        .principal = response.principal,
                        .code = response.code,
                        .status = response.status,
                        .duration = std::chrono::duration_cast<std::chrono::microseconds>(end - request_started_),
                        .bytes_in = meta_.bytes_in,
                        .bytes_out = bytes_out});
  } catch (...) {  // a record lost is no reason to drop the connection
    state_.lost_records.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace ee::net
