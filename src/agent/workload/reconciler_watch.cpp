#include <algorithm>
#include <tuple>

#include "agent/workload/reconciler.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::WorkloadHealth;
using agent_api::WorkloadPhase;

constexpr Milliseconds kHealthPeriod = 10s;
constexpr Milliseconds kPollPeriod = 30s;
constexpr Milliseconds kSweepPeriod = 30s;
constexpr Milliseconds kExitWindow = 600s;
constexpr Milliseconds kMostRestartDelay = 60s;
constexpr Milliseconds kEnginePause = 1s;
constexpr std::size_t kMostExits = 5;
constexpr int kBadForUnhealthy = 3;
constexpr int kGoodForHealthy = 2;

const std::string& label(const Labels& labels, std::string_view name) {
  static const std::string kNone;
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? kNone : found->second;
}

}  // namespace

bool Reconciler::engine_ok(bool reachable) {
  if (reachable) {
    board_.clear_check("container_runtime");
  } else {
    board_.fail_check("container_runtime", "unreachable");
  }
  return reachable;
}

/// Whether the engine answers before `until`, after a pause.
bool Reconciler::await_engine(SteadyTime until, const std::stop_token& stop) {
  log::warn("workload", "the engine went away; it is waited for");
  do {
    if (clock_.steady_now() >= until || !clock_.sleep_for(kEnginePause, stop)) return false;
  } while (!engine_ok(runtime_.list(stop).has_value()));
  return !stop.stop_requested();
}

// ---- after a start -------------------------------------------------------------------------------------------------

/// What the state file and the engine say together. Nothing is decided while the engine does not answer.
void Reconciler::recover(const std::stop_token& stop) {
  const auto containers = runtime_.list(stop);
  if (!engine_ok(containers.has_value())) return;
  recovered_ = true;
  // The rules of an earlier process may be gone, or be for networks that are.
  std::ignore = guard_networks(stop);
  if (!held_) {
    secret_files_.keep_only({}, 0);
    save_held();
    return;
  }
  const HeldWorkload held = *held_;
  if (held.phase == WorkloadPhase::stopping) {
    const std::lock_guard lock(mutex_);
    if (!slot_) slot_ = Input{};
    return;
  }
  if (!held.has_containers()) {  // failed: only its report is held
    tear_down(held, false, stop);
    return;
  }
  if (adopt_containers(held, *containers, stop)) return;
  log::warn("workload", "what runs is not what is held; it is removed", {{"deployment_id", held.deployment_id}});
  tear_down(held, false, stop);
  set_held(std::nullopt);
}

/// Whether each container of the held document is there with the same specification and image. Adopted ones go on
/// undisturbed; an upgrade that was cut off is undone.
bool Reconciler::adopt_containers(const HeldWorkload& held, const std::vector<ContainerSummary>& containers,
                                  const std::stop_token& stop) {
  auto plan = make_plan(held.document, nullptr, options_.place);
  if (!plan) return false;
  for (const PlannedContainer& planned : plan->containers) {
    const auto found = std::ranges::find(containers, planned.spec.name, &ContainerSummary::name);
    const auto image = held.images.find(planned.service);
    if (found == containers.end() || image == held.images.end()) return false;
    if (label(found->labels, kSpecLabel) != planned.spec_hash || found->image_id != image->second) return false;
  }
  std::vector<agent_api::RunningService> services;
  for (const PlannedContainer& container : plan->containers)
    services.push_back({.name = container.service,
                        .image = container.image,
                        .digest = container.image.substr(container.image.find('@') + 1),
                        .container_id = container.spec.name});
  const bool settled = held.phase == WorkloadPhase::running || held.rolled_back;
  HeldWorkload next = held;
  if (!settled) {
    // The upgrade that was under way: its document must be fetched again. Until then the old revision is what is held.
    next.revision = held.running_revision;
    next.phase = WorkloadPhase::running;
    next.phase_changed_at = board_.corrected_now();
    next.failure.reset();
    for (const ContainerSummary& container : containers)
      if (label(container.labels, kDeploymentLabel) == held.deployment_id &&
          label(container.labels, kRevisionLabel) != std::to_string(held.running_revision))
        (void)runtime_.remove(container.id, stop);
  }
  health_ = WorkloadHealth::unknown;
  next_health_ = clock_.steady_now();
  secret_files_.keep_only(held.deployment_id, held.running_revision);
  {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(*plan);
    up_ = true;
    services_ = std::move(services);
    health_checked_at_ = board_.corrected_now();
  }
  set_held(std::move(next));
  for (const PlannedContainer& container : plan_->containers) tell_started(container);
  log::info("workload", "adopted", {{"deployment_id", held.deployment_id}, {"revision", held.running_revision}});
  return true;
}

// ---- while it runs -------------------------------------------------------------------------------------------------

SteadyTime Reconciler::watch(const std::stop_token& stop) {
  SteadyTime next = clock_.steady_now() + kPollPeriod;
  if (held_ && held_->phase == WorkloadPhase::stopping) {  // a stop that the engine did not finish
    const std::lock_guard lock(mutex_);
    if (!slot_) slot_ = Input{};
    return clock_.steady_now() + 5s;
  }
  if (plan_) {
    if (const auto failure = watch_containers(stop)) {
      if (!failure->cancelled) running_failed(*failure, stop);
      return clock_.steady_now() + kPollPeriod;
    }
    if (clock_.steady_now() >= next_health_) watch_health(stop);
    next = std::min(next, next_health_);
    for (const auto& [service, watched] : watched_)
      if (watched.start_at) next = std::min(next, *watched.start_at);
  }
  if (clock_.steady_now() >= next_sweep_) {
    sweep_leftovers(false, stop);
    if (plan_) std::ignore = guard_networks(stop);  // somebody may have flushed the rules
    next_sweep_ = clock_.steady_now() + kSweepPeriod;
  }
  return std::min(next, next_sweep_);
}

/// The restart rule. A failure ends the deployment.
std::optional<StepFailure> Reconciler::watch_containers(const std::stop_token& stop) {
  const SteadyTime now = clock_.steady_now();
  for (const PlannedContainer& planned : plan_->containers) {
    const auto state = runtime_.inspect(planned.spec.name, stop);
    if (stop.stop_requested()) return StepFailure{.cancelled = true};
    if (!state && state.error().failure == RuntimeFailure::not_found)
      return StepFailure{.code = ErrorCode::container_exited,
                         .detail = "the container of service " + planned.service + " is gone"};
    if (!engine_ok(state.has_value())) return std::nullopt;  // workloads are left alone
    Watched& watched = watched_[planned.service];
    if (state->running) continue;
    if (planned.may_complete && state->started_at && state->exit_code == 0 && !state->oom_killed) continue;
    if (!watched.start_at) {
      watched.exits.push_back(now);
      while (!watched.exits.empty() && now - watched.exits.front() > kExitWindow) watched.exits.pop_front();
      if (watched.exits.size() > kMostExits) return exited(planned, *state);
      const Milliseconds delay =
          std::min<Milliseconds>(Milliseconds(1000LL << (watched.exits.size() - 1)), kMostRestartDelay);
      watched.start_at = now + delay;
      log::warn("workload", "a container has ended",
                {{"service", planned.service}, {"exit_code", state->exit_code}, {"restart_in_ms", delay}});
    }
    if (now < *watched.start_at) continue;
    watched.start_at.reset();
    const auto started = runtime_.start(planned.spec.name, stop);
    if (!started && started.error().failure != RuntimeFailure::unavailable) {
      watched.start_at = now + kMostRestartDelay;
      continue;
    }
    if (started) tell_started(planned);
    ++restarts_;
    set_held(held_);
  }
  return std::nullopt;
}

void Reconciler::watch_health(const std::stop_token& stop) {
  const bool good = steps_.healthy(health_target(held_->document, options_.place.workload_address), stop);
  next_health_ = clock_.steady_now() + kHealthPeriod;
  if (stop.stop_requested()) return;
  good_in_a_row_ = good ? good_in_a_row_ + 1 : 0;
  bad_in_a_row_ = good ? 0 : bad_in_a_row_ + 1;
  const auto before = health_;
  if (bad_in_a_row_ >= kBadForUnhealthy) health_ = WorkloadHealth::unhealthy;
  if (good_in_a_row_ >= kGoodForHealthy) health_ = WorkloadHealth::healthy;
  {
    const std::lock_guard lock(mutex_);
    health_checked_at_ = board_.corrected_now();
    if (health_ == before) return;
    update_view_locked();
  }
  hooks_.changed();
}

void Reconciler::running_failed(const StepFailure& failure, const std::stop_token& stop) {
  tear_down(*held_, false, stop);
  measure_end(held_->document);
  HeldWorkload held = *held_;
  held.running_revision = 0;
  held.rolled_back = false;
  held.phase = WorkloadPhase::failed;
  held.phase_changed_at = board_.corrected_now();
  held.failure = agent_api::WorkloadFailure{.code = std::string(slug(failure.code)), .detail = failure.detail};
  log::error("workload", "failed", {{"deployment_id", held.deployment_id}, {"code", held.failure->code}});
  set_held(std::move(held));
}

// ---- leftovers -----------------------------------------------------------------------------------------------------

/// Whether something with these labels is of an earlier life of this agent. What belongs to a deployment that was never
/// named in this registration gets time, since the control plane may still name it.
bool Reconciler::is_leftover(const Labels& labels, bool at_once) const {
  const std::string& deployment = label(labels, kDeploymentLabel);
  const std::lock_guard lock(mutex_);
  if (held_ && deployment == held_->deployment_id) return false;
  if (at_once) return true;
  if (!board_.session()) return false;  // nobody could be named yet
  return named_.contains(deployment) || clock_.steady_now() - registered_at_ >= options_.orphan_grace;
}

/// Removes what bears this instance's label and is not held. `at_once`: before a deployment, whose ports it could hold;
/// then also other containers of the same deployment.
void Reconciler::sweep_leftovers(bool at_once, const std::stop_token& stop) {
  const auto containers = runtime_.list(stop);
  if (!engine_ok(containers.has_value())) return;
  for (const ContainerSummary& container : *containers) {
    const bool ours = held_ && label(container.labels, kDeploymentLabel) == held_->deployment_id;
    const bool of_held =
        ours && plan_ && label(container.labels, kRevisionLabel) == std::to_string(held_->running_revision);
    if (of_held || (!ours && !is_leftover(container.labels, at_once))) continue;
    log::warn("workload", "removing a container that is not held", {{"name", container.name}});
    (void)runtime_.stop(container.id, 10s, stop);
    (void)runtime_.remove(container.id, stop);
  }
  if (const auto networks = runtime_.list_networks(stop))
    for (const NetworkInfo& network : *networks)
      if (is_leftover(network.labels, at_once)) (void)runtime_.remove_network(network.id, stop);
  if (const auto volumes = runtime_.list_volumes(stop))
    for (const VolumeInfo& volume : *volumes)
      if (is_leftover(volume.labels, at_once)) (void)runtime_.remove_volume(volume.name, stop);
}

}  // namespace ee::agent
