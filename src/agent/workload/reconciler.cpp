#include "agent/workload/reconciler.h"

#include <algorithm>
#include <boost/describe/enum_to_string.hpp>

#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::WorkloadPhase;

constexpr Milliseconds kBetweenProgress = 1s;

std::string_view phase_name(WorkloadPhase phase) { return boost::describe::enum_to_string(phase, ""); }

bool runs(WorkloadPhase phase) { return phase == WorkloadPhase::running; }

/// State files come from an earlier start of the same program, but a reboot in between ends all containers, and what
/// was only half made is fetched anew: its secrets are gone.
std::optional<HeldWorkload> still_held(std::optional<HeldWorkload> held, const std::string& boot_id) {
  if (!held || held->boot_id != boot_id) return std::nullopt;
  const bool kept =
      held->has_containers() || held->phase == WorkloadPhase::failed || held->phase == WorkloadPhase::stopping;
  return kept ? held : std::nullopt;
}

}  // namespace

Reconciler::Reconciler(Options options, ContainerRuntime& runtime, HealthProbe& probe, StateFile& state, Board& board,
                       const InstanceKeys& keys, Hooks hooks, Clock& clock)
    : options_(std::move(options)),
      runtime_(runtime),
      steps_(runtime, probe, clock),
      state_(state),
      board_(board),
      keys_(keys),
      hooks_(std::move(hooks)),
      clock_(clock),
      secret_files_(options_.place.run_dir),
      held_(still_held(state.state().held, options_.boot_id)),
      registered_at_(clock.steady_now()) {
  update_view_locked();
}

// ---- what others see -----------------------------------------------------------------------------------------------

std::optional<agent_api::WorkloadReport> Reconciler::report() const {
  const std::lock_guard lock(mutex_);
  return reported_;
}

std::shared_ptr<const ServedWorkload> Reconciler::served() const {
  const std::lock_guard lock(mutex_);
  return served_;
}

std::optional<std::pair<std::int64_t, std::int64_t>> Reconciler::held_order() const {
  const std::lock_guard lock(mutex_);
  const auto accepted = accepted_locked();
  if (!accepted) return std::nullopt;
  // A key of an earlier registration is no answer to "do you have it": the control plane may mean another document.
  const auto session = board_.session();
  if (!session || session->identity.registration_id != accepted->key.registration_id) return std::nullopt;
  return std::pair(accepted->key.assignment_epoch, accepted->key.revision);
}

std::optional<agent_api::WorkloadReport> Reconciler::take_closing_report() {
  const std::lock_guard lock(mutex_);
  return std::exchange(closing_, std::nullopt);
}

std::optional<agent_api::DeployedRequest> Reconciler::deployed_report() const {
  const std::lock_guard lock(mutex_);
  if (!reported_ || !runs(reported_->phase) || services_.empty() || !health_checked_at_) return std::nullopt;
  return agent_api::DeployedRequest{
      .workload = *reported_, .services = services_, .health_checked_at = *health_checked_at_};
}

bool Reconciler::idle() const {
  const std::lock_guard lock(mutex_);
  return !held_ && !slot_ && !working_on_ && !stopping_;
}

/// mutex_ held, or nobody else knows the object yet.
void Reconciler::update_view_locked() {
  if (!held_) {
    reported_.reset();
    served_.reset();
    services_.clear();
    health_checked_at_.reset();
    return;
  }
  const HeldWorkload& held = *held_;
  const bool same = reported_ && reported_->phase == held.phase && reported_->revision == held.revision;
  reported_ = agent_api::WorkloadReport{.deployment_id = held.deployment_id,
                                        .assignment_epoch = held.assignment_epoch,
                                        .revision = held.revision,
                                        .phase = held.phase,
                                        .health = health_,
                                        .restarts = restarts_,
                                        .phase_changed_at = held.phase_changed_at,
                                        .failure = held.failure,
                                        .progress = same ? reported_->progress : std::nullopt};
  ServedWorkload served{.deployment_id = held.deployment_id,
                        .assignment_epoch = held.assignment_epoch,
                        .revision = held.running_revision,
                        .service = held.document.service,
                        .app = held.document.app,
                        .compose_sha256 = held.document.compose_sha256,
                        .access = held.document.access,
                        .ingress = held.document.ingress,
                        .images = {},
                        .containers = {},
                        .running = plan_.has_value() && up_};
  if (plan_)
    for (const PlannedContainer& container : plan_->containers) {
      served.images[container.service] = container.image;
      served.containers[container.service] = container.spec.name;
    }
  served_ = std::make_shared<const ServedWorkload>(std::move(served));
}

void Reconciler::set_held(std::optional<HeldWorkload> held) {
  {
    const std::lock_guard lock(mutex_);
    held_ = std::move(held);
    update_view_locked();
  }
  save_held();
  hooks_.changed();
}

void Reconciler::save_held() {
  const auto saved = state_.update([this](AgentState& state) { state.held = held_; });
  if (!saved) log::error("workload", "state cannot be saved", {{"detail", saved.error().detail}});
}

void Reconciler::set_phase(WorkloadPhase phase) {
  HeldWorkload next = *held_;
  if (next.phase == phase) return;
  next.phase = phase;
  next.phase_changed_at = board_.corrected_now();
  if (phase != WorkloadPhase::failed) next.failure.reset();
  log::info("workload", "phase",
            {{"deployment_id", next.deployment_id}, {"revision", next.revision}, {"phase", phase_name(phase)}});
  set_held(std::move(next));
}

void Reconciler::set_progress(std::optional<agent_api::WorkloadProgress> progress) {
  const SteadyTime now = clock_.steady_now();
  {
    const std::lock_guard lock(mutex_);
    if (!reported_ || reported_->progress == progress) return;
    reported_->progress = std::move(progress);
    if (now - last_progress_ < kBetweenProgress) return;
    last_progress_ = now;
  }
  hooks_.changed();
}

// ---- the worker ----------------------------------------------------------------------------------------------------

std::optional<Reconciler::Input> Reconciler::next_input() {
  const std::lock_guard lock(mutex_);
  if (!slot_ && none_at_ && *none_at_ <= clock_.steady_now()) {
    none_at_.reset();
    slot_ = Input{};
  }
  if (!slot_) return std::nullopt;
  auto input = std::exchange(slot_, std::nullopt);
  work_ = std::stop_source();
  working_on_ = input->document;
  stopping_ = !input->document;
  return input;
}

SteadyTime Reconciler::step(const std::stop_token& stop) {
  if (!recovered_) {
    recover(stop);
    if (!recovered_) return clock_.steady_now() + 5s;
  }
  while (auto input = next_input()) {
    act(*input, stop);
    {
      const std::lock_guard lock(mutex_);
      working_on_.reset();
      stopping_ = false;
      work_ = std::stop_source(std::nostopstate);
    }
    if (stop.stop_requested()) return clock_.steady_now();
  }
  SteadyTime next = watch(stop);
  const std::lock_guard lock(mutex_);
  if (none_at_) next = std::min(next, *none_at_);
  return next;
}

void Reconciler::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const SteadyTime next = step(stop);
    if (waker_.wait_until(clock_, next, stop) == Waker::Why::stopped) return;
  }
}

void Reconciler::act(const Input& input, const std::stop_token& stop) {
  if (!input.document) {
    stop_held(stop);
    return;
  }
  Incoming& incoming = *input.document;
  std::optional<HeldKey> held;
  if (held_)
    held = HeldKey{.key = key_of(*held_), .usable = held_->has_containers(), .rolled_back = held_->rolled_back};
  switch (decide(held, incoming.key, incoming.path)) {
    case Decision::nothing:
      // Cut off by a stop that was taken back: it is held, and nobody is at work on it any more.
      if (!held_->has_containers() && held_->phase != WorkloadPhase::failed) {
        deploy(incoming, stop);
        break;
      }
      [[fallthrough]];
    case Decision::adopt: adopt_key(incoming); break;
    case Decision::older: break;
    case Decision::held_by_other:  // what was held when it came has been stopped meanwhile, or is now
    case Decision::replace:
      stop_held(stop);
      if (!held_ && !stop.stop_requested()) deploy(incoming, stop);
      break;
    case Decision::deploy: deploy(incoming, stop); break;
    case Decision::upgrade:
      if (held_->has_containers()) {
        upgrade(incoming, stop);
      } else {
        deploy(incoming, stop);
      }
      break;
  }
}

/// The same content under a newer key, or for other callers: the phase stays, and is told under the new key.
void Reconciler::adopt_key(const Incoming& incoming) {
  HeldWorkload next = *held_;
  const bool rolled_back = next.rolled_back && incoming.key.revision > next.revision;
  next.assignment_epoch = incoming.key.assignment_epoch;
  next.revision = incoming.key.revision;
  next.registration_id = incoming.key.registration_id;
  // A document that comes late lets nobody in; one that shuts out counts whatever the clocks say.
  const bool newer = incoming.document.issued_at >= next.document.issued_at;
  if (newer || incoming.document.access != agent_api::WorkloadAccess::public_)
    next.document.access = incoming.document.access;
  if (newer) next.document.issued_at = incoming.document.issued_at;
  if (rolled_back) {  // the automatic rollback: what runs is now the wanted revision
    next.rolled_back = false;
    next.failure.reset();
    next.phase = WorkloadPhase::running;
    next.phase_changed_at = board_.corrected_now();
  }
  set_held(std::move(next));
}

}  // namespace ee::agent
