#include "agent/board.h"

#include <cstdlib>

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxChecks = 16;
constexpr Milliseconds kClockJump = 120s;
constexpr Milliseconds kClockJumpShown = 10min;
constexpr Milliseconds kUnsignedShift = 10s;
constexpr std::int64_t kDriftDivisor = 5000;  // 200 ppm
constexpr Milliseconds kBetweenSignedTimes = 60s;

}  // namespace

std::string_view to_string(AgentPhase phase) {
  switch (phase) {
    case AgentPhase::starting: return "starting";
    case AgentPhase::registering: return "registering";
    case AgentPhase::active: return "active";
    case AgentPhase::terminating: return "terminating";
  }
  std::abort();
}

AgentPhase Board::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

void Board::set_phase(AgentPhase phase) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
}

Seconds Board::uptime() const { return std::chrono::duration_cast<Seconds>(clock_.steady_now() - started_); }

std::shared_ptr<const Session> Board::session() const {
  const std::lock_guard lock(mutex_);
  return session_;
}

void Board::begin_session(Session session) {
  auto next = std::make_shared<const Session>(std::move(session));
  const std::lock_guard lock(mutex_);
  session_ = std::move(next);
}

void Board::end_session() {
  const std::lock_guard lock(mutex_);
  session_.reset();
}

bool Board::update_session(std::string_view registration_id, const std::function<void(Session&)>& change) {
  const std::lock_guard lock(mutex_);
  if (!session_ || session_->identity.registration_id != registration_id) return false;
  Session next = *session_;
  change(next);
  session_ = std::make_shared<const Session>(std::move(next));
  return true;
}

void Board::fail_check(const std::string& name, std::string_view code) {
  const std::lock_guard lock(mutex_);
  failing_.insert_or_assign(name, std::string(code));
}

void Board::clear_check(const std::string& name) {
  const std::lock_guard lock(mutex_);
  failing_.erase(name);
}

agent_api::Health Board::health() const {
  const std::lock_guard lock(mutex_);
  agent_api::Health out;
  for (const auto& [name, code] : failing_)
    if (out.checks.size() < kMaxChecks) out.checks.push_back({.name = name, .ok = false, .code = code});
  if (jumped_at_ && clock_.steady_now() - *jumped_at_ < kClockJumpShown && out.checks.size() < kMaxChecks)
    out.checks.push_back({.name = "clock_jump", .ok = false, .code = "clock_jump"});
  out.status = out.checks.empty() ? agent_api::HealthStatus::healthy : agent_api::HealthStatus::degraded;
  return out;
}

void Board::set_time_locked(UtcTime at) {
  answered_at_ = at;
  answered_steady_ = clock_.steady_now();
}

void Board::note_signed_time(UtcTime at) {
  const std::lock_guard lock(mutex_);
  if (answered_at_ && std::chrono::abs(at - corrected_now_locked()) > kClockJump) jumped_at_ = clock_.steady_now();
  set_time_locked(at);
  signed_at_ = at;
  signed_steady_ = answered_steady_;
  wants_signed_time_ = false;
}

void Board::note_answered_at(UtcTime answered_at) {
  const std::lock_guard lock(mutex_);
  if (!answered_at_) return;
  if (std::chrono::abs(answered_at - corrected_now_locked()) > kClockJump) jumped_at_ = clock_.steady_now();
  const auto passed = std::chrono::floor<Milliseconds>(clock_.steady_now() - signed_steady_);
  if (std::chrono::abs(answered_at - (signed_at_ + passed)) <= kUnsignedShift + passed / kDriftDivisor)
    set_time_locked(answered_at);
  else if (passed >= kBetweenSignedTimes)
    wants_signed_time_ = true;
}

bool Board::wants_signed_time() const {
  const std::lock_guard lock(mutex_);
  return wants_signed_time_;
}

UtcTime Board::corrected_now_locked() const {
  if (!answered_at_) return clock_.now();
  return *answered_at_ + std::chrono::floor<Milliseconds>(clock_.steady_now() - answered_steady_);
}

UtcTime Board::corrected_now() const {
  const std::lock_guard lock(mutex_);
  return corrected_now_locked();
}

std::optional<Milliseconds> Board::clock_offset() const {
  const std::lock_guard lock(mutex_);
  if (!answered_at_) return std::nullopt;
  return corrected_now_locked() - clock_.now();
}

void Board::note_attested(UtcTime at) {
  const std::lock_guard lock(mutex_);
  attested_at_ = at;
}

std::optional<UtcTime> Board::attested_at() const {
  const std::lock_guard lock(mutex_);
  return attested_at_;
}

void Board::count(std::int64_t Counters::* counter) {
  const std::lock_guard lock(mutex_);
  ++(counters_.*counter);
}

Board::Counters Board::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace ee::agent
