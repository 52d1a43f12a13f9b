#include "agent/cloudflared.h"

#include <fmt/format.h>

#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::TunnelLink;

constexpr Milliseconds kPollEvery = 10s;
constexpr Milliseconds kWatchEvery = 1s;  // how soon an exit is seen
constexpr Milliseconds kReadyTimeout = 2s;
constexpr Milliseconds kNeverReady = 180s;
constexpr Milliseconds kSteady = 120s;  // of readiness: the back-off starts over
constexpr Milliseconds kQuickExit = 10s;
constexpr int kQuickExitsForFreshToken = 5;
constexpr Milliseconds kStopGrace = 15s;
constexpr Milliseconds kStopPoll = 100ms;
constexpr Milliseconds kIdle = 1h;  // nothing to do until woken
constexpr Milliseconds kFirstDelay = 1s;
constexpr Milliseconds kMostDelay = 60s;

/// Connections that `/ready` tells; nothing when it is not ready.
std::optional<std::int64_t> ready_connections(const HttpClientResponse& answer) {
  if (answer.status != 200) return std::nullopt;
  const auto body = json::parse(answer.body, {.max_bytes = 16384, .max_depth = 8, .max_nodes = 256});
  if (!body || !body->is_object()) return std::nullopt;
  const auto* count = body->get_object().if_contains("readyConnections");
  if (count == nullptr || !count->is_int64() || count->get_int64() <= 0) return std::nullopt;
  return std::min<std::int64_t>(count->get_int64(), 1000);
}

std::string masked(std::string_view line, const Secret& token) {
  std::string out(line);
  if (token.empty()) return out;
  for (std::size_t at = out.find(token.reveal()); at != std::string::npos; at = out.find(token.reveal(), at))
    out.replace(at, token.reveal().size(), "***");
  return out;
}

}  // namespace

CloudflaredSupervisor::CloudflaredSupervisor(Options options, SubprocessLauncher& launcher, HttpClient& http,
                                             Clock& clock, Random& random)
    : options_(std::move(options)),
      launcher_(launcher),
      http_(http),
      clock_(clock),
      random_(random),
      backoff_(kFirstDelay, kMostDelay) {}

void CloudflaredSupervisor::set_token(std::optional<Secret> token) {
  if (token && token->empty()) token.reset();
  {
    const std::lock_guard lock(mutex_);
    if (wanted_ == token) return;
    wanted_ = std::move(token);
  }
  waker_.wake();
}

agent_api::TunnelReport CloudflaredSupervisor::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

std::optional<Secret> CloudflaredSupervisor::wanted() const {
  const std::lock_guard lock(mutex_);
  return wanted_;
}

void CloudflaredSupervisor::set_report(TunnelLink state, std::int64_t ready_connections) {
  const std::lock_guard lock(mutex_);
  report_.state = state;
  report_.ready_connections = ready_connections;
}

void CloudflaredSupervisor::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const SteadyTime next = step();
    if (waker_.wait_until(clock_, next, stop) == Waker::Why::stopped) break;
  }
  stop_child();
}

SteadyTime CloudflaredSupervisor::step() {
  const SteadyTime now = clock_.steady_now();
  const auto token = wanted();
  if (!token) {
    stop_child();
    restart_at_.reset();
    set_report(TunnelLink::none, 0);
    return now + kIdle;
  }
  if (*token != token_) {  // changed: at once, with a clean slate
    stop_child();
    restart_at_.reset();
    backoff_.reset();
    quick_exits_ = 0;
    token_ = *token;
  }
  if (child_ && child_->poll()) child_ended(now);
  if (child_ && now >= next_poll_) poll_ready(now);
  if (child_ && now - last_ready_ >= kNeverReady) {
    log::warn("cloudflared", "not ready for too long; restarting");
    stop_child();
    child_ended(clock_.steady_now());
  }
  if (child_) return std::min(next_poll_, now + kWatchEvery);
  if (!restart_at_ || now >= *restart_at_) start_child(now);
  return child_ ? now + kWatchEvery : *restart_at_;
}

void CloudflaredSupervisor::start_child(SteadyTime now) {
  if (quick_exits_ >= kQuickExitsForFreshToken && options_.fresh_token) {
    quick_exits_ = 0;
    if (auto fresh = options_.fresh_token(); fresh && !fresh->empty()) {
      const std::lock_guard lock(mutex_);
      if (wanted_ == token_) {  // else a newer one was set meanwhile, and the next pass takes that
        wanted_ = *fresh;
        token_ = std::move(*fresh);
      }
    }
  }
  SubprocessSpec spec;
  spec.argv = {options_.program,
               "tunnel",
               "--no-autoupdate",
               "--metrics",
               options_.metrics.str(),
               "--grace-period",
               "10s",
               "run"};
  spec.environment = {{"TUNNEL_TOKEN", token_}, {"HOME", Secret("/nonexistent")}};
  if (options_.on_line)
    spec.on_line = [sink = options_.on_line, token = token_](std::string_view line) { sink(masked(line, token)); };
  auto child = launcher_.start(spec);
  started_at_ = now;
  if (!child) {
    log::error("cloudflared", "cannot start", {{"reason", child.error().detail}});
    child_ended(now);
    return;
  }
  child_ = std::move(*child);
  ready_since_.reset();
  was_ready_ = false;
  last_ready_ = now;
  next_poll_ = now + kPollEvery;
  restart_at_.reset();
  set_report(TunnelLink::starting, 0);
}

/// The child is gone, was given up or could not be started: plans the next start.
void CloudflaredSupervisor::child_ended(SteadyTime now) {
  quick_exits_ = now - started_at_ < kQuickExit ? quick_exits_ + 1 : 0;
  child_.reset();
  const Milliseconds base = backoff_.next_bound();
  restart_at_ = now + base + Milliseconds(random_.between(-base.count() / 5, base.count() / 5));
  const std::lock_guard lock(mutex_);
  ++report_.restarts;
  report_.state = TunnelLink::failed;
  report_.ready_connections = 0;
}

void CloudflaredSupervisor::poll_ready(SteadyTime now) {
  next_poll_ = now + kPollEvery;
  const auto answer = http_.send({.url = "http://" + options_.metrics.str() + "/ready",
                                  .connect_timeout = kReadyTimeout,
                                  .total_timeout = kReadyTimeout,
                                  .max_response_bytes = 16384});
  const auto connections = answer ? ready_connections(*answer) : std::nullopt;
  if (!connections) {
    ready_since_.reset();
    set_report(was_ready_ ? TunnelLink::disconnected : TunnelLink::starting, 0);
    return;
  }
  if (!ready_since_) ready_since_ = now;
  if (now - *ready_since_ >= kSteady) backoff_.reset();
  was_ready_ = true;
  last_ready_ = now;
  set_report(TunnelLink::connected, *connections);
}

void CloudflaredSupervisor::stop_child() {
  if (!child_) return;
  child_->send(SubprocessSignal::terminate);
  const SteadyTime deadline = clock_.steady_now() + kStopGrace;
  while (!child_->poll() && clock_.steady_now() < deadline) clock_.sleep_for(kStopPoll, {});
  if (!child_->poll()) child_->send(SubprocessSignal::kill);
  child_.reset();  // reaps
}

}  // namespace ee::agent
