#include <algorithm>
#include <tuple>

#include "agent/workload/reconciler.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::WorkloadPhase;

constexpr std::size_t kMaxFailureDetail = 1024;
constexpr Milliseconds kStartOldBudget = 120s;

agent_api::WorkloadFailure failure_of(const StepFailure& failure) {
  agent_api::WorkloadFailure out{.code = std::string(slug(failure.code)), .detail = failure.detail};
  if (out.detail.size() > kMaxFailureDetail) out.detail.resize(kMaxFailureDetail);
  return out;
}

/// A token that fires with either of two.
class AnyStop {
 public:
  AnyStop(const std::stop_token& a, const std::stop_token& b)
      : first_(a, [this] { source_.request_stop(); }), second_(b, [this] { source_.request_stop(); }) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> first_;
  std::stop_callback<std::function<void()>> second_;
};

}  // namespace

/// Steps A and B.
StepResult<WorkloadPlan> Reconciler::prepare(Incoming& incoming) {
  const auto failed = [](ErrorCode code, std::string detail) {
    return std::unexpected(StepFailure{.code = code, .detail = std::move(detail)});
  };
  if (incoming.seal_error) {
    if (auto checked = check_compose(incoming.document, nullptr, options_.place); !checked)
      return failed(ErrorCode::compose_failed, checked.error().detail);
    return failed(ErrorCode::internal, "the sealed secrets cannot be opened");
  }
  if (options_.mask != nullptr) {
    for (const WorkloadSecret& secret : incoming.opened.secrets) options_.mask->add(secret.value);
    for (const RegistryCredentials& registry : incoming.opened.registries) options_.mask->add(registry.password);
  }
  auto plan = make_plan(incoming.document, &incoming.opened, options_.place);
  if (!plan) return failed(ErrorCode::compose_failed, plan.error().detail);
  if (!swap_is_off(hooks_.swaps())) {
    if (!options_.allow_swap) return failed(ErrorCode::internal, "swap is in use; secrets could be written to disk");
    log::warn("workload", "swap is in use");
  }
  auto written =
      secret_files_.write(incoming.document.deployment_id, incoming.document.revision, incoming.opened.secrets);
  if (!written) return failed(ErrorCode::internal, written.error().detail);
  return std::move(*plan);
}

/// Step C. Progress is told under the phase `pulling`.
StepResult<std::map<std::string, ImageInfo>> Reconciler::fetch_images(const WorkloadPlan& plan,
                                                                      const Incoming& incoming,
                                                                      const std::stop_token& work) {
  set_phase(WorkloadPhase::pulling);
  auto images = steps_.pull(
      plan, incoming.opened,
      [this](std::int64_t percent, const std::string& text) {
        set_progress(agent_api::WorkloadProgress{.percent = percent, .text = text});
      },
      work);
  set_progress(std::nullopt);
  return images;
}

/// Steps D and E.
StepResult<void> Reconciler::bring_up(const WorkloadPlan& plan, const Incoming& incoming,
                                      const std::map<std::string, ImageInfo>& images, SteadyTime until,
                                      const std::stop_token& work) {
  set_phase(WorkloadPhase::starting);
  if (!measured_)
    if (auto measured = hooks_.measure(true, incoming.document); !measured)
      return std::unexpected(StepFailure{.code = ErrorCode::internal, .detail = measured.error().detail});
  measured_ = true;
  if (auto created = steps_.create(plan, incoming.opened, work); !created) return created;
  if (auto guarded = guard_networks(work); !guarded) return guarded;
  const auto on_started = [this](const PlannedContainer& container) { tell_started(container); };
  if (auto started = steps_.start(plan, images, on_started, until, work); !started) return started;
  set_phase(WorkloadPhase::checking);
  return steps_.await_health(plan, health_target(incoming.document, options_.place.workload_address), on_started, until,
                             work);
}

void Reconciler::deploy(Incoming& incoming, const std::stop_token& stop) {
  HeldWorkload held{.deployment_id = incoming.key.deployment_id,
                    .assignment_epoch = incoming.key.assignment_epoch,
                    .revision = incoming.key.revision,
                    .registration_id = incoming.key.registration_id,
                    .boot_id = options_.boot_id,
                    .content_sha256 = incoming.key.content_sha256,
                    .phase = WorkloadPhase::accepted,
                    .phase_changed_at = board_.corrected_now(),
                    .document = incoming.document};
  restarts_ = 0;
  measured_ = false;
  health_ = agent_api::WorkloadHealth::unknown;
  set_held(std::move(held));
  const AnyStop work(stop, work_.get_token());
  const SteadyTime until = clock_.steady_now() + Seconds(incoming.document.deploy_timeout_seconds);
  // What an earlier life of this agent has left behind could hold our ports.
  sweep_leftovers(true, stop);
  auto plan = prepare(incoming);
  if (!plan) return deploy_failed(plan.error(), stop);
  using Images = std::map<std::string, ImageInfo>;
  const auto images =
      despite_restarts<Images>([&] { return fetch_images(*plan, incoming, work.token()); }, until, work.token());
  if (!images) return deploy_failed(images.error(), stop);
  const auto up = despite_restarts<void>([&] { return bring_up(*plan, incoming, *images, until, work.token()); }, until,
                                         work.token());
  if (!up) return deploy_failed(up.error(), stop);
  came_up(std::move(*plan), incoming, *images);
}

void Reconciler::came_up(WorkloadPlan plan, const Incoming& incoming, const std::map<std::string, ImageInfo>& images) {
  plan.wipe_secrets();
  HeldWorkload held = *held_;
  held.assignment_epoch = incoming.key.assignment_epoch;
  held.revision = incoming.key.revision;
  held.content_sha256 = incoming.key.content_sha256;
  held.running_revision = incoming.document.revision;
  held.rolled_back = false;
  held.document = incoming.document;
  held.images.clear();
  for (const auto& [service, image] : images) held.images[service] = image.id;
  held.phase = WorkloadPhase::running;
  held.phase_changed_at = board_.corrected_now();
  held.failure.reset();
  health_ = agent_api::WorkloadHealth::healthy;
  good_in_a_row_ = bad_in_a_row_ = 0;
  watched_.clear();
  next_health_ = clock_.steady_now() + 10s;

  std::vector<agent_api::RunningService> services;
  for (const PlannedContainer& container : plan.containers)
    services.push_back({.name = container.service,
                        .image = container.image,
                        .digest = container.image.substr(container.image.find('@') + 1),
                        .container_id = container.spec.name});
  {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    up_ = true;
    services_ = std::move(services);
    health_checked_at_ = board_.corrected_now();
  }
  log::info("workload", "running", {{"deployment_id", held.deployment_id}, {"revision", held.revision}});
  set_held(std::move(held));
}

/// Nothing of it stays but its volumes and the report.
void Reconciler::deploy_failed(const StepFailure& failure, const std::stop_token& stop) {
  if (stop.stop_requested()) return;  // the next start finds what is left by its labels
  tear_down(*held_, false, stop);
  if (measured_) measure_end(held_->document);
  if (failure.cancelled) return;  // the input that cancelled it is next, and ends or replaces what is held
  HeldWorkload held = *held_;
  held.running_revision = 0;
  held.failure = failure_of(failure);
  held.phase = WorkloadPhase::failed;
  held.phase_changed_at = board_.corrected_now();
  log::error("workload", "deployment failed",
             {{"deployment_id", held.deployment_id},
              {"revision", held.revision},
              {"code", held.failure->code},
              {"detail", held.failure->detail}});
  set_held(std::move(held));
}

// ---- upgrade -------------------------------------------------------------------------------------------------------

/// The old containers run on while the new images come, and are kept, stopped, until the new revision runs. What is
/// held stays the old document until then, so a crash in between falls back to it.
void Reconciler::upgrade(Incoming& incoming, const std::stop_token& stop) {
  const HeldWorkload old = *held_;
  HeldWorkload target = old;
  target.assignment_epoch = incoming.key.assignment_epoch;
  target.revision = incoming.key.revision;
  target.registration_id = incoming.key.registration_id;
  target.phase = WorkloadPhase::accepted;
  target.phase_changed_at = board_.corrected_now();
  target.failure.reset();
  target.rolled_back = false;
  measured_ = false;
  set_held(std::move(target));

  const AnyStop work(stop, work_.get_token());
  const SteadyTime until = clock_.steady_now() + Seconds(incoming.document.deploy_timeout_seconds);
  const std::int64_t revision = incoming.document.revision;
  auto plan = prepare(incoming);
  if (!plan) return upgrade_failed(plan.error(), incoming.document, false, stop);
  using Images = std::map<std::string, ImageInfo>;
  const auto images = despite_restarts<Images>(
      [&] {
        auto fetched = fetch_images(*plan, incoming, work.token());
        // The old revision is to run until the new images are there, also when the engine has ended it meanwhile.
        if (!fetched && fetched.error().engine_away && await_engine(until, work.token())) (void)start_old_again(stop);
        return fetched;
      },
      until, work.token());
  if (!images) return upgrade_failed(images.error(), incoming.document, false, stop);
  set_phase(WorkloadPhase::starting);
  const auto old_document = held_->document;
  up_ = false;
  set_held(held_);
  const auto up = despite_restarts<void>(
      [&]() -> StepResult<void> {
        if (plan_)
          if (auto stopped = steps_.stop_containers(*plan_, stop); !stopped)
            return std::unexpected(step_failure(stopped.error()));
        return bring_up(*plan, incoming, *images, until, work.token());
      },
      until, work.token());
  if (!up) return upgrade_failed(up.error(), incoming.document, true, stop);

  const std::int64_t old_revision = held_->running_revision;
  const auto old_images = held_->images;
  if (plan_) tell_ended(*plan_);
  came_up(std::move(*plan), incoming, *images);
  if (old_revision != revision) {
    (void)steps_.remove_containers(held_->deployment_id, old_revision, stop);  // else swept later: they are not held
    secret_files_.remove(held_->deployment_id, old_revision);
  }
  measure_end(old_document);
  prune(old_images, stop);
}

void Reconciler::upgrade_failed(const StepFailure& failure, const agent_api::DeploymentDocument& target,
                                bool old_stopped, const std::stop_token& stop) {
  if (stop.stop_requested()) return;
  HeldWorkload held = *held_;
  const std::int64_t new_revision = target.revision;
  if (measured_) measure_end(target);
  if (new_revision != held.running_revision) {
    if (auto plan = make_plan(target, nullptr, options_.place)) {
      (void)steps_.stop_containers(*plan, stop);
      tell_ended(*plan);
    }
    (void)steps_.remove_containers(held.deployment_id, new_revision, stop);
    secret_files_.remove(held.deployment_id, new_revision);
  }
  // Cancelled: what comes next stops the old containers or replaces them; if that is nothing, `watch` starts them.
  const bool old_runs = !old_stopped || failure.cancelled || start_old_again(stop);
  if (stop.stop_requested()) return;
  if (!failure.cancelled) {
    log::error("workload", "upgrade failed",
               {{"deployment_id", held.deployment_id},
                {"revision", held.revision},
                {"code", slug(failure.code)},
                {"detail", failure.detail},
                {"old_runs", old_runs}});
    held.failure = failure_of(failure);
    held.phase = WorkloadPhase::failed;
    held.phase_changed_at = board_.corrected_now();
  }
  held.rolled_back = old_runs;
  if (!old_runs) {
    tear_down(held, false, stop);
    held.running_revision = 0;
  }
  set_held(std::move(held));
}

void Reconciler::measure_end(const agent_api::DeploymentDocument& document) {
  measured_ = false;
  if (auto measured = hooks_.measure(false, document); !measured)
    log::error("workload", "the end of a workload cannot be measured", {{"detail", measured.error().detail}});
}

void Reconciler::prune(const std::map<std::string, std::string>& images, const std::stop_token& stop) {
  if (!hooks_.disk_is_tight()) return;
  std::vector<std::string> ids;
  for (const auto& [service, id] : images) ids.push_back(id);
  (void)runtime_.prune_images(ids, stop);
}

/// Their conditions held once; now they are only started in order.
bool Reconciler::start_old_again(const std::stop_token& stop) {
  if (!plan_) return false;
  watched_.clear();
  const SteadyTime until = clock_.steady_now() + kStartOldBudget;
  const auto started = despite_restarts<void>(
      [&]() -> StepResult<void> {
        for (const PlannedContainer& container : plan_->containers) {
          if (container.may_complete) continue;  // has done its work
          const auto running = runtime_.start(container.spec.name, stop);
          if (!running) return std::unexpected(step_failure(running.error()));
          if (clock_.steady_now() >= until) return std::unexpected(StepFailure{});
          tell_started(container);
        }
        return {};
      },
      until, stop);
  up_ = up_ || started.has_value();
  return started.has_value();
}

// ---- stopping ------------------------------------------------------------------------------------------------------

void Reconciler::stop_held(const std::stop_token& stop) {
  if (!held_) return;
  set_phase(WorkloadPhase::stopping);
  if (!tear_down(*held_, true, stop)) {
    // The engine does not do it now. The stop stays wanted: again with the next look.
    if (!stop.stop_requested()) log::error("workload", "the stop is not complete; it is tried again");
    return;
  }
  const HeldWorkload held = *held_;
  if (held.has_containers()) measure_end(held.document);
  prune(held.images, stop);
  {
    const std::lock_guard lock(mutex_);
    closing_ = agent_api::WorkloadReport{.deployment_id = held.deployment_id,
                                         .assignment_epoch = held.assignment_epoch,
                                         .revision = held.revision,
                                         .phase = WorkloadPhase::stopped,
                                         .phase_changed_at = board_.corrected_now()};
  }
  log::info("workload", "stopped", {{"deployment_id", held.deployment_id}});
  set_held(std::nullopt);
  if (options_.mask != nullptr) options_.mask->clear();
}

StepResult<void> Reconciler::guard_networks(const std::stop_token& stop) {
  const auto networks = runtime_.list_networks(stop);
  if (!networks) return std::unexpected(step_failure(networks.error()));
  std::vector<std::string> subnets;
  for (const NetworkInfo& network : *networks)
    subnets.insert(subnets.end(), network.subnets.begin(), network.subnets.end());
  if (auto guarded = hooks_.guard(subnets, stop); !guarded) {
    if (stop.stop_requested()) return std::unexpected(StepFailure{.cancelled = true});
    return std::unexpected(
        StepFailure{.code = ErrorCode::internal, .detail = "the firewall: " + guarded.error().detail});
  }
  return {};
}

void Reconciler::tell_started(const PlannedContainer& container) {
  hooks_.started(held_->deployment_id, container.service, container.spec.name);
}

void Reconciler::tell_ended(const WorkloadPlan& plan) {
  std::vector<std::string> names;
  for (const PlannedContainer& container : plan.containers) names.push_back(container.spec.name);
  hooks_.ended(plan.deployment_id, names);
}

/// Containers by the plan's order if there is one, then everything with the deployment's label. Whether all is gone.
bool Reconciler::tear_down(const HeldWorkload& held, bool with_volumes, const std::stop_token& stop) {
  auto plan = plan_ ? std::move(plan_) : std::optional<WorkloadPlan>();
  {
    const std::lock_guard lock(mutex_);
    plan_.reset();
    up_ = false;
    update_view_locked();
  }
  if (!plan)
    if (auto made = make_plan(held.document, nullptr, options_.place)) plan = std::move(*made);
  bool done = true;
  if (plan) {
    done = steps_.stop_containers(*plan, stop).has_value();
    tell_ended(*plan);
  }
  done = steps_.remove_containers(held.deployment_id, 0, stop) && done;
  done = steps_.remove_networks(held.deployment_id, stop) && done;
  if (done) std::ignore = guard_networks(stop);  // the rules are for networks that are there
  if (with_volumes) done = steps_.remove_volumes(held.deployment_id, stop) && done;
  secret_files_.keep_only({}, 0);
  watched_.clear();
  health_.reset();
  return done;
}

}  // namespace ee::agent
