#include "agent/bootstrap/cp_supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kReadyEvery = 1s;
constexpr Milliseconds kReadyWithin = 120s;
constexpr Milliseconds kHealthEvery = 10s;
constexpr int kHealthFailures = 6;
constexpr Milliseconds kAnswerWithin = 5s;
constexpr Milliseconds kWatchEvery = 1s;  // how soon an exit is seen
constexpr Milliseconds kStopGrace = 30s;
constexpr Milliseconds kStopPoll = 100ms;
constexpr Milliseconds kSteady = 120s;  // of readiness: the back-off starts over
constexpr std::size_t kLoopRestarts = 10;
constexpr Milliseconds kLoopWindow = 600s;
constexpr Milliseconds kFirstDelay = 1s;
constexpr Milliseconds kMostDelay = 60s;
constexpr Milliseconds kIngressWithin = 180s;  // it gives up by itself after 120 s
constexpr std::size_t kMaxIngressOutput = 64UL * 1024;
constexpr int kNotConfigured = 3;

/// The tunnel's token of what `ingress ensure --json` printed.
std::optional<Secret> token_of(std::string_view output) {
  const auto parsed = json::parse(output, {.max_bytes = kMaxIngressOutput, .max_depth = 8, .max_nodes = 256});
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const auto* const token = parsed->get_object().if_contains("token");
  if (token == nullptr || !token->is_string() || token->get_string().empty()) return std::nullopt;
  return Secret(std::string(token->get_string().data(), token->get_string().size()));
}

std::string how(const ExitStatus& status) {
  return status.code ? fmt::format("exit code {}", *status.code) : fmt::format("signal {}", status.signal.value_or(0));
}

}  // namespace

CpSupervisor::CpSupervisor(Options options, SubprocessLauncher& launcher, HttpClient& http, Clock& clock,
                           Random& random, Board& board)
    : options_(std::move(options)),
      launcher_(launcher),
      http_(http),
      clock_(clock),
      random_(random),
      board_(board),
      backoff_(kFirstDelay, kMostDelay),
      ingress_backoff_(kFirstDelay, kMostDelay) {
  board_.fail_check("control_plane", "not_ready");
}

void CpSupervisor::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const SteadyTime next = step();
    if (waker_.wait_until(clock_, next, stop) == Waker::Why::stopped) break;
  }
}

void CpSupervisor::ensure_ingress() {
  ingress_wanted_ = true;
  waker_.wake();
}

SteadyTime CpSupervisor::step() {
  const SteadyTime now = clock_.steady_now();
  if (child_)
    if (const auto status = child_->poll()) child_ended(now, how(*status));
  if (child_ && now >= next_ask_) {
    if (ready_since_) {
      watch_health(now);
    } else {
      wait_for_ready(now);
    }
  }
  if (ready_since_ || ingress_) step_ingress(clock_.steady_now());
  if (!child_ && (!restart_at_ || clock_.steady_now() >= *restart_at_)) start_child(clock_.steady_now());
  const SteadyTime watch = clock_.steady_now() + kWatchEvery;
  if (child_) return std::min(next_ask_, watch);
  return ingress_ ? std::min(*restart_at_, watch) : *restart_at_;
}

void CpSupervisor::start_child(SteadyTime now) {
  SubprocessSpec spec{.argv = options_.serve,
                      .environment = options_.environment.variables,
                      .on_line = [environment = options_.environment](std::string_view line) {
                        log::info("ee-cp", "output", {{"line", without_values(line, environment)}});
                      }};
  auto child = launcher_.start(spec);
  started_at_ = now;
  if (!child) return child_ended(now, child.error().detail);
  child_ = std::move(*child);
  next_ask_ = now + kReadyEvery;
  failures_ = 0;
  ready_since_.reset();
  restart_at_.reset();
  log::info("bootstrap", "control plane started");
}

/// The child is gone, was given up or could not be started: plans the next start.
void CpSupervisor::child_ended(SteadyTime now, std::string_view why) {
  child_.reset();
  ready_since_.reset();
  board_.fail_check("control_plane", "not_ready");
  restarts_.push_back(now);
  while (now - restarts_.front() > kLoopWindow) restarts_.pop_front();
  if (restarts_.size() > kLoopRestarts) restarts_.pop_front();
  if (restarts_.size() == kLoopRestarts && !crash_loop_) {
    crash_loop_ = true;
    board_.fail_check("crash_loop", "crash_loop");
  }
  const Milliseconds delay = crash_loop_ ? kMostDelay : backoff_.next_bound();
  restart_at_ = now + delay;
  log::error("bootstrap", "control plane ended; it is started again", {{"why", why}, {"delay_ms", delay.count()}});
}

bool CpSupervisor::asks_well(const char* path) const {
  const auto answer = http_.send({.url = options_.environment.url + path,
                                  .connect_timeout = kAnswerWithin,
                                  .total_timeout = kAnswerWithin,
                                  .max_response_bytes = 64UL * 1024,
                                  .own_connection = true});
  return answer && answer->status == 200;
}

void CpSupervisor::wait_for_ready(SteadyTime now) {
  next_ask_ = now + kReadyEvery;
  if (asks_well("/ready")) {
    ready_since_ = now;
    next_ask_ = now + kHealthEvery;
    board_.clear_check("control_plane");
    board_.set_phase(AgentPhase::active);
    log::info("bootstrap", "control plane is ready");
    return;
  }
  if (now - started_at_ < kReadyWithin) return;
  stop_child();
  child_ended(clock_.steady_now(), "not ready in time");
}

void CpSupervisor::watch_health(SteadyTime now) {
  next_ask_ = now + kHealthEvery;
  if (!asks_well("/health")) {
    if (++failures_ < kHealthFailures) return;
    stop_child();
    return child_ended(clock_.steady_now(), "unhealthy");
  }
  failures_ = 0;
  const Milliseconds ready_for = std::chrono::duration_cast<Milliseconds>(now - *ready_since_);
  if (ready_for >= kSteady) backoff_.reset();
  if (ready_for < kLoopWindow || !crash_loop_) return;
  crash_loop_ = false;
  restarts_.clear();
  board_.clear_check("crash_loop");
}

void CpSupervisor::stop_child() {
  if (!child_) return;
  child_->send(SubprocessSignal::terminate);
  const SteadyTime deadline = clock_.steady_now() + kStopGrace;
  while (!child_->poll() && clock_.steady_now() < deadline) clock_.sleep_for(kStopPoll, {});
  if (!child_->poll()) child_->send(SubprocessSignal::kill);
  child_.reset();  // reaps
}

void CpSupervisor::step_ingress(SteadyTime now) {
  if (ingress_) {
    if (const auto status = ingress_->child->poll()) return ingress_ended(now, *status);
    if (now < ingress_->deadline) return;
    ingress_.reset();  // kills
    return ingress_failed(now, "it did not end");
  }
  if (ingress_wanted_ && now >= next_ingress_) start_ingress(now);
}

void CpSupervisor::start_ingress(SteadyTime now) {
  ingress_wanted_ = false;
  auto output = std::make_shared<std::string>();
  SubprocessSpec spec{.argv = options_.ingress,
                      .environment = options_.environment.variables,
                      .on_line =
                          [environment = options_.environment](std::string_view line) {
                            log::info("ee-cp", "ingress", {{"line", without_values(line, environment)}});
                          },
                      .on_output =
                          [output](std::string_view bytes) {
                            if (output->size() + bytes.size() <= kMaxIngressOutput) *output += bytes;
                          }};
  auto child = launcher_.start(spec);
  if (!child) return ingress_failed(now, child.error().detail);
  ingress_.emplace(std::move(*child), std::move(output), now + kIngressWithin);
}

void CpSupervisor::ingress_ended(SteadyTime now, const ExitStatus& status) {
  const auto output = ingress_->output;
  ingress_.reset();  // all of its output has come
  if (status.code == kNotConfigured) {
    log::info("bootstrap", "Cloudflare is not configured; no tunnel");
    return board_.clear_check("ingress");
  }
  if (status.code != 0) return ingress_failed(now, how(status));
  auto token = token_of(*output);
  if (!token) return ingress_failed(now, "its answer was not understood");
  ingress_backoff_.reset();
  board_.clear_check("ingress");
  log::info("bootstrap", "tunnel is made");
  options_.set_tunnel_token(std::move(*token));
}

void CpSupervisor::ingress_failed(SteadyTime now, std::string_view why) {
  ingress_wanted_ = true;
  const Milliseconds bound = ingress_backoff_.next_bound();
  next_ingress_ = now + bound + Milliseconds(random_.between(-bound.count() / 5, bound.count() / 5));
  board_.fail_check("ingress", "ingress_failed");
  log::error("bootstrap", "the tunnel could not be made; tried again", {{"why", why}});
}

}  // namespace ee::agent
