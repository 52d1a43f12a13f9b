#include "agent/control_loop.h"

#include <algorithm>
#include <array>

#include "agent/version.h"
#include "attestation/validate/policy.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kFirstRegistrationDelay = 2s;
constexpr Milliseconds kMostRegistrationDelay = 300s;
constexpr Milliseconds kLeastAfterRefusal = 60s;
constexpr Milliseconds kFirstBeatDelay = 1s;
constexpr Milliseconds kMostBeatDelay = 60s;
constexpr Milliseconds kBeatTimeout = 10s;
constexpr Milliseconds kLastBeatTimeout = 2s;
constexpr Milliseconds kRetryAfter401 = 5s;
constexpr Milliseconds kLeastBetweenBeats = 1s;
constexpr Milliseconds kSessionHeld = 300s;  // one that lasted so long does not slow the next registration down

/// Health checks that a failed registration raises, and the next success clears.
constexpr std::array<std::string_view, 6> kRegistrationChecks = {
    "cp_untrusted", "audience_mismatch", "evidence_kind_refused", "seal_refused", "tdx", "registration"};

std::string_view check_of(const CallFailure& failure) {
  if (failure.is(ErrorCode::cp_untrusted) || failure.is(ErrorCode::audience_mismatch) ||
      failure.is(ErrorCode::evidence_kind_refused))
    return failure.code;
  if (failure.is(ErrorCode::seal_context_mismatch)) return "seal_refused";
  if (failure.status == 0 && (failure.is(ErrorCode::tdx_unavailable) || failure.code.starts_with("quote_generation_")))
    return "tdx";
  return "registration";
}

/// Whether the control plane has judged our evidence and refused it, for whatever reason: asking again soon is of no
/// use.
bool is_attestation_refusal(const CallFailure& failure) {
  const auto code = error_code_of(failure.code);
  return failure.status == 403 && code && error_info(*code).area == "attestation" &&
         (attestation::decision_class(*code) == attestation::DecisionClass::refused ||
          attestation::is_undecided_refusal(*code));
}

}  // namespace

ControlLoop::ControlLoop(const AgentConfig& config, std::string boot_id, Registrar& registrar,
                         ControlPlaneClient& client, Board& board, StateFile& state, Workloads& workloads, Hooks hooks,
                         Clock& clock, Random& random)
    : config_(config),
      boot_id_(std::move(boot_id)),
      registrar_(registrar),
      client_(client),
      board_(board),
      state_(state),
      workloads_(workloads),
      hooks_(std::move(hooks)),
      clock_(clock),
      random_(random),
      schedule_(clock.steady_now(), random),
      registration_backoff_(kFirstRegistrationDelay, kMostRegistrationDelay),
      again_backoff_(kFirstRegistrationDelay, kMostRegistrationDelay),
      beat_backoff_(kFirstBeatDelay, kMostBeatDelay),
      last_contact_(clock.steady_now()) {}

LoopEnd ControlLoop::run(const std::stop_token& stop) {
  while (true) {
    board_.set_phase(AgentPhase::registering);
    if (const auto end = register_until_done(stop)) return *end;
    board_.set_phase(AgentPhase::active);
    const After after = beat_until_done(stop);
    if (after == After::stopped) return LoopEnd::stopped;  // the session stays for the last heartbeat
    board_.end_session();
    hooks_.unregistered();
    if (after == After::deleted) return LoopEnd::deleted;
    if (after == After::disconnected) return LoopEnd::disconnected;
    const bool held = clock_.steady_now() - session_began_ >= kSessionHeld;
    if (held) again_backoff_.reset();
    if (after == After::register_now && held) continue;
    board_.set_phase(AgentPhase::registering);
    if (const auto end = wait_until(clock_.steady_now() + again_backoff_.next(random_), false, stop)) return *end;
  }
}

// ---- registering ---------------------------------------------------------------------------------------------------

std::optional<LoopEnd> ControlLoop::register_until_done(const std::stop_token& stop) {
  registration_backoff_.reset();
  while (!stop.stop_requested()) {
    const auto registration = registrar_.attempt(workloads_.report(), stop);
    if (registration) {
      begin(*registration);
      return std::nullopt;
    }
    if (stop.stop_requested()) break;
    note_contact(registration.error());
    note_registration_failure(registration.error());
    const Milliseconds delay = registration_delay(registration.error());
    log::warn("registrar", "registration failed",
              {{"code", registration.error().code},
               {"status", registration.error().status},
               {"detail", registration.error().detail},
               {"retry_ms", delay}});
    if (const auto end = wait_until(clock_.steady_now() + delay, false, stop)) return end;
  }
  return LoopEnd::stopped;
}

Milliseconds ControlLoop::registration_delay(const CallFailure& failure) {
  Milliseconds delay = registration_backoff_.next(random_);
  if (is_attestation_refusal(failure)) delay = std::max(delay, kLeastAfterRefusal);
  if (failure.retry_after) delay = std::max<Milliseconds>(delay, *failure.retry_after);
  return delay;
}

void ControlLoop::note_registration_failure(const CallFailure& failure) {
  board_.count(&Board::Counters::registrations_failed);
  for (const std::string_view check : kRegistrationChecks) board_.clear_check(std::string(check));
  board_.fail_check(std::string(check_of(failure)), failure.code);
}

void ControlLoop::begin(const Registration& registration) {
  const agent_api::RegisterAnswer& answer = registration.answer;
  for (const std::string_view check : kRegistrationChecks) board_.clear_check(std::string(check));
  board_.count(&Board::Counters::registrations);
  board_.begin_session(registration.session);
  board_.note_signed_time(answer.answered_at);
  board_.note_attested(answer.answered_at);
  last_contact_ = session_began_ = next_beat_ = clock_.steady_now();
  interval_ = Seconds(answer.heartbeat_interval_seconds);
  seq_ = 0;
  tried_again_after_401_ = false;
  again_wanted_ = false;
  beat_backoff_.reset();
  log::info("registrar", "registered",
            {{"agent_id", answer.agent_id}, {"registration_id", answer.registration_id}, {"reused", answer.reused}});
  hooks_.registered(registration);
  workloads_.apply(answer.desired);
}

// ---- heartbeats ----------------------------------------------------------------------------------------------------

ControlLoop::After ControlLoop::beat_until_done(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (again_wanted_.exchange(false)) return After::register_later;
    if (const auto after = beat(stop)) return *after;
    if (const auto end = wait_until(next_beat_, true, stop))
      return *end == LoopEnd::stopped ? After::stopped : After::disconnected;
    // Woken early: a beat now, but never two within a second.
    if (const auto end = wait_until(std::min(next_beat_, last_beat_ + kLeastBetweenBeats), false, stop))
      return *end == LoopEnd::stopped ? After::stopped : After::disconnected;
  }
  return After::stopped;
}

std::optional<ControlLoop::After> ControlLoop::beat(const std::stop_token& stop) {
  const auto session = board_.session();
  last_beat_ = clock_.steady_now();
  const agent_api::HeartbeatRequest told = make_heartbeat(false);
  const auto answer = client_.heartbeat(session->identity, told, kBeatTimeout, stop);
  if (stop.stop_requested()) return After::stopped;
  if (answer) {
    take_answer(*session, told, *answer);
    return std::nullopt;
  }
  board_.count(&Board::Counters::heartbeats_failed);
  note_contact(answer.error());
  log::warn("heartbeat", "heartbeat failed",
            {{"code", answer.error().code}, {"status", answer.error().status}, {"detail", answer.error().detail}});
  return take_failure(answer.error());
}

void ControlLoop::take_answer(const Session& session, const agent_api::HeartbeatRequest& told,
                              const agent_api::HeartbeatAnswer& answer) {
  board_.count(&Board::Counters::heartbeats);
  board_.note_answered_at(answer.answered_at);
  last_contact_ = clock_.steady_now();
  tried_again_after_401_ = false;
  beat_backoff_.reset();
  interval_ = Seconds(answer.heartbeat_interval_seconds);
  next_beat_ = schedule_.next(clock_.steady_now(), interval_);
  // That an agent which runs nothing should run nothing is no order to end what has been pushed to it meanwhile: the
  // next heartbeat tells of it.
  const bool overtaken =
      answer.desired.action == agent_api::DesiredAction::none && !told.workload && workloads_.report().has_value();
  if (!overtaken) workloads_.apply(answer.desired);
  hooks_.answered(session, answer);
}

/// The reactions of 02 section 5.1.
std::optional<ControlLoop::After> ControlLoop::take_failure(const CallFailure& failure) {
  const SteadyTime now = clock_.steady_now();
  if (failure.status == 401 || failure.status == 404) {
    if (tried_again_after_401_) return After::register_now;
    tried_again_after_401_ = true;
    next_beat_ = now + kRetryAfter401;
    return std::nullopt;
  }
  if (failure.status == 403) return After::register_now;
  if (failure.is(ErrorCode::agent_attestation_failed)) {
    workloads_.stop_all();
    return After::register_now;
  }
  if (failure.is(ErrorCode::boot_id_mismatch)) {
    workloads_.stop_all();
    return After::register_later;
  }
  if (failure.status == 410) return deleted(failure);
  Milliseconds delay = beat_backoff_.next(random_);
  if (failure.retry_after) delay = std::max<Milliseconds>(delay, *failure.retry_after);
  next_beat_ = now + delay;
  return std::nullopt;
}

/// `stale`: the control plane has cleaned up after a long silence; it may have us back as a new agent. A 410 without a
/// reason is no order to end.
ControlLoop::After ControlLoop::deleted(const CallFailure& failure) {
  workloads_.stop_all();
  const bool for_good = failure.is(ErrorCode::agent_deleted) && !failure.reason.empty() && failure.reason != "stale";
  log::warn("heartbeat", for_good ? "deleted by the control plane" : "deleted as stale; registering as new",
            {{"reason", failure.reason}});
  if (const auto wiped = state_.wipe(); !wiped)
    log::error("heartbeat", "state cannot be wiped", {{"detail", wiped.error().detail}});
  return for_good ? After::deleted : After::register_now;
}

agent_api::HeartbeatRequest ControlLoop::make_heartbeat(bool draining) {
  ++seq_;
  agent_api::HeartbeatRequest out{.seq = seq_,
                                  .boot_id = boot_id_,
                                  .sent_at = clock_.now(),
                                  .agent_version = std::string(kAgentVersion),
                                  .health = board_.health(),
                                  .workload = workloads_.report(),
                                  .tunnel = hooks_.tunnel(),
                                  .stats = {},
                                  .draining = draining};
  if (seq_ % 2 == 0) out.stats = hooks_.stats();
  return out;
}

void ControlLoop::send_last_heartbeat() {
  const auto session = board_.session();
  if (!session) return;
  const auto answer = client_.heartbeat(session->identity, make_heartbeat(true), kLastBeatTimeout, {});
  if (!answer) log::warn("heartbeat", "last heartbeat failed", {{"code", answer.error().code}});
}

// ---- waiting -------------------------------------------------------------------------------------------------------

void ControlLoop::note_contact(const CallFailure& failure) {
  if (failure.status != 0) last_contact_ = clock_.steady_now();
}

std::optional<SteadyTime> ControlLoop::power_off_at() const {
  if (config_.disconnect_poweroff.count() == 0) return std::nullopt;
  return last_contact_ + config_.disconnect_poweroff;
}

std::optional<LoopEnd> ControlLoop::wait_until(SteadyTime deadline, bool wakeable, const std::stop_token& stop) {
  while (true) {
    const auto off = power_off_at();
    if (off && clock_.steady_now() >= *off && nothing_runs()) {
      log::error("agent", "no answer from the control plane for too long");
      return LoopEnd::disconnected;
    }
    const bool wait_for_off = off && *off < deadline && *off > clock_.steady_now();
    switch (waker_.wait_until(clock_, wait_for_off ? *off : deadline, stop)) {
      case Waker::Why::stopped: return LoopEnd::stopped;
      case Waker::Why::woken:
        if (wakeable) return std::nullopt;
        break;
      case Waker::Why::deadline:
        if (!wait_for_off) return std::nullopt;
    }
  }
}

}  // namespace ee::agent
