#include "agent/workload/steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <thread>

#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::array<Milliseconds, 2> kPullDelays = {10s, 30s};
constexpr Milliseconds kCreateBudget = 120s;
constexpr Milliseconds kConditionPoll = 2s;
constexpr Milliseconds kHealthPoll = 2s;
constexpr int kGoodInARow = 2;

const std::string* label(const Labels& labels, std::string_view name) {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? nullptr : &found->second;
}

bool belongs(const Labels& labels, std::string_view deployment_id, std::int64_t revision) {
  const std::string* deployment = label(labels, kDeploymentLabel);
  if (deployment == nullptr || *deployment != deployment_id) return false;
  if (revision == 0) return true;
  const std::string* own = label(labels, kRevisionLabel);
  return own != nullptr && *own == std::to_string(revision);
}

std::unexpected<StepFailure> cancelled() { return std::unexpected(StepFailure{.cancelled = true}); }
std::unexpected<StepFailure> failed(ErrorCode code, std::string detail) {
  return std::unexpected(StepFailure{.code = code, .detail = std::move(detail)});
}
std::unexpected<StepFailure> failed(const RuntimeError& error) { return std::unexpected(step_failure(error)); }

/// One sum over all images, for the report.
class ProgressSum {
 public:
  ProgressSum(std::size_t images, const DeploySteps::OnProgress& on_progress)
      : images_(images), on_progress_(on_progress) {}
  void begin(std::size_t index, const std::string& image) {
    index_ = index;
    image_ = image;
    tell(0);
  }
  void update(const PullProgress& progress) {
    if (progress.total_bytes > 0)
      tell(std::clamp<std::int64_t>(progress.current_bytes * 100 / progress.total_bytes, 0, 100));
  }

 private:
  void tell(std::int64_t of_image) {
    const auto percent = (static_cast<std::int64_t>(index_) * 100 + of_image) / static_cast<std::int64_t>(images_);
    if (on_progress_) on_progress_(percent, image_.substr(0, 200));
  }
  std::size_t images_;
  std::size_t index_ = 0;
  std::string image_;
  const DeploySteps::OnProgress& on_progress_;
};

}  // namespace

StepFailure step_failure(const RuntimeError& error) {
  if (error.failure == RuntimeFailure::cancelled) return {.cancelled = true};
  const ErrorCode code = failure_code(error.failure);
  const bool engine = code == ErrorCode::internal_error;
  return {.code = engine ? ErrorCode::internal : code,
          .detail = engine ? fmt::format("{}: {}", to_string(error.failure), error.detail) : error.detail,
          .engine_away = error.failure == RuntimeFailure::unavailable};
}

StepFailure exited(const PlannedContainer& container, const ContainerState& state) {
  if (state.oom_killed)
    return {.code = ErrorCode::out_of_memory, .detail = fmt::format("service {} was out of memory", container.service)};
  return {.code = ErrorCode::container_exited,
          .detail = fmt::format("service {} ended with exit code {}", container.service, state.exit_code)};
}

HealthTarget health_target(const agent_api::DeploymentDocument& document, const std::string& workload_address) {
  HealthTarget out{.address = workload_address, .port = 0, .path = document.health_path};
  if (document.ingress.empty()) return out;
  const std::string_view path = std::string_view(document.health_path).substr(0, document.health_path.find('?'));
  const agent_api::IngressRule* rule = ingress_for(document.ingress, path);
  out.port = static_cast<std::uint16_t>(rule != nullptr ? rule->port : document.ingress.front().port);
  return out;
}

// ---- images --------------------------------------------------------------------------------------------------------

StepResult<std::map<std::string, ImageInfo>> DeploySteps::pull(const WorkloadPlan& plan, const OpenedSecrets& opened,
                                                               const OnProgress& on_progress,
                                                               const std::stop_token& stop) {
  std::map<std::string, ImageInfo> out;
  ProgressSum sum(plan.containers.size(), on_progress);
  for (std::size_t i = 0; i < plan.containers.size(); ++i) {
    const PlannedContainer& container = plan.containers[i];
    sum.begin(i, container.image);
    auto image = pull_one(container, opened, [&](const PullProgress& progress) { sum.update(progress); }, stop);
    if (!image) return std::unexpected(std::move(image.error()));
    out.emplace(container.service, std::move(*image));
  }
  return out;
}

StepResult<ImageInfo> DeploySteps::pull_one(const PlannedContainer& container, const OpenedSecrets& opened,
                                            const OnPullProgress& on_progress, const std::stop_token& stop) {
  if (auto present = runtime_.image(container.image, stop)) return std::move(*present);
  for (std::size_t attempt = 0;; ++attempt) {
    const auto pulled = runtime_.pull(container.image, opened.registry(container.registry_host), on_progress, stop);
    if (stop.stop_requested()) return cancelled();
    if (pulled) {
      auto image = runtime_.image(container.image, stop);
      if (image) return std::move(*image);
      if (image.error().failure != RuntimeFailure::not_found) return failed(image.error());
      // The stream said that it was done, and nothing is there: a failed try.
      if (attempt >= kPullDelays.size())
        return failed(ErrorCode::image_pull_failed, "the image is not there after the pull");
    } else if (pulled.error().failure != RuntimeFailure::pull_failed || attempt >= kPullDelays.size()) {
      return failed(pulled.error());
    }
    log::warn("workload", "pull failed; again",
              {{"image", container.image}, {"detail", pulled ? "nothing pulled" : pulled.error().detail}});
    if (!clock_.sleep_for(kPullDelays[attempt], stop)) return cancelled();
  }
}

// ---- creating ------------------------------------------------------------------------------------------------------

StepResult<void> DeploySteps::create(const WorkloadPlan& plan, const OpenedSecrets& opened,
                                     const std::stop_token& stop) {
  const SteadyTime until = clock_.steady_now() + kCreateBudget;
  const auto existing = runtime_.list_networks(stop);
  if (!existing) return failed(existing.error());
  for (const NetworkSpec& network : plan.networks) {
    const auto same = std::ranges::find(*existing, network.name, &NetworkInfo::name);
    if (same != existing->end() && belongs(same->labels, plan.deployment_id, 0)) {
      if (same->internal == network.internal) continue;
      // It is made anew, unless containers of an older revision may have to go back into it.
      const auto kept = containers_of(plan.deployment_id, 0, stop);
      if (!kept) return failed(kept.error());
      if (!kept->empty())
        return failed(ErrorCode::compose_failed,
                      "an upgrade in place cannot change whether a network is internal: " + network.name);
    }
    if (const auto made = runtime_.create_network(network, stop); !made) return failed(made.error());
  }
  for (const VolumeInfo& volume : plan.volumes)
    if (const auto made = runtime_.create_volume(volume, stop); !made) return failed(made.error());
  for (const PlannedContainer& container : plan.containers) {
    if (clock_.steady_now() >= until) return failed(ErrorCode::compose_failed, "creating took too long");
    auto made = runtime_.create(container.spec, stop);
    if (!made && made.error().failure == RuntimeFailure::not_found) {  // the image is gone: once more
      if (const auto again = runtime_.pull(container.image, opened.registry(container.registry_host), {}, stop); !again)
        return failed(again.error());
      made = runtime_.create(container.spec, stop);
    }
    if (!made) return failed(made.error());
  }
  return {};
}

StepResult<void> DeploySteps::start(const WorkloadPlan& plan, const std::map<std::string, ImageInfo>& images,
                                    const OnStarted& on_started, SteadyTime until, const std::stop_token& stop) {
  Milliseconds working{0};
  for (const PlannedContainer& container : plan.containers) {
    if (auto ready = await(container, plan, images, until, stop); !ready) return ready;
    const SteadyTime began = clock_.steady_now();
    if (const auto started = runtime_.start(container.spec.name, stop); !started) return failed(started.error());
    on_started(container);
    working += std::chrono::ceil<Milliseconds>(clock_.steady_now() - began);
    if (working > kCreateBudget) return failed(ErrorCode::compose_failed, "starting took too long");
  }
  return {};
}

StepResult<void> DeploySteps::await(const PlannedContainer& waiting, const WorkloadPlan& plan,
                                    const std::map<std::string, ImageInfo>& images, SteadyTime until,
                                    const std::stop_token& stop) {
  for (const compose::Dependency& dependency : waiting.depends_on) {
    const PlannedContainer* awaited = plan.find(dependency.service);
    if (awaited == nullptr) return failed(ErrorCode::compose_failed, "depends on an unknown service");
    StepResult<void> ready;
    if (dependency.condition == compose::Condition::service_healthy)
      ready = await_healthy(*awaited, images, until, stop);
    if (dependency.condition == compose::Condition::service_completed_successfully)
      ready = await_completed(*awaited, until, stop);
    if (!ready) return ready;
  }
  return {};
}

StepResult<void> DeploySteps::await_healthy(const PlannedContainer& awaited,
                                            const std::map<std::string, ImageInfo>& images, SteadyTime until,
                                            const std::stop_token& stop) {
  using Health = compose::CreateContainer::Health;
  const auto image = images.find(awaited.service);
  const bool has_check = awaited.health == Health::file ||
                         (awaited.health == Health::image && image != images.end() && image->second.has_health_check);
  if (!has_check)
    return failed(ErrorCode::compose_failed,
                  fmt::format("service_healthy is asked of {}, which has no health check", awaited.service));
  while (true) {
    const auto state = runtime_.inspect(awaited.spec.name, stop);
    if (!state) return failed(state.error());
    if (!state->running) return std::unexpected(exited(awaited, *state));
    if (state->health == ContainerHealth::healthy) return {};
    if (state->health == ContainerHealth::unhealthy || clock_.steady_now() >= until)
      return failed(ErrorCode::health_check_failed, fmt::format("service {} is not healthy", awaited.service));
    if (!clock_.sleep_for(kConditionPoll, stop)) return cancelled();
  }
}

StepResult<void> DeploySteps::await_completed(const PlannedContainer& awaited, SteadyTime until,
                                              const std::stop_token& stop) {
  while (true) {
    const auto state = runtime_.inspect(awaited.spec.name, stop);
    if (!state) return failed(state.error());
    if (!state->running && state->started_at) {
      if (state->exit_code == 0 && !state->oom_killed) return {};
      return std::unexpected(exited(awaited, *state));
    }
    if (clock_.steady_now() >= until)
      return failed(ErrorCode::container_exited, fmt::format("service {} did not end in time", awaited.service));
    if (!clock_.sleep_for(kConditionPoll, stop)) return cancelled();
  }
}

// ---- health --------------------------------------------------------------------------------------------------------

bool DeploySteps::healthy(const HealthTarget& target, const std::stop_token& stop) {
  if (target.port == 0) return true;
  return target.path.empty() ? probe_.tcp(target.address, target.port, stop)
                             : probe_.http(target.address, target.port, target.path, stop);
}

StepResult<void> DeploySteps::check_still_running(const WorkloadPlan& plan, const std::stop_token& stop) {
  for (const PlannedContainer& container : plan.containers) {
    const auto state = runtime_.inspect(container.spec.name, stop);
    if (!state) return failed(state.error());
    if (state->running || (container.may_complete && state->exit_code == 0 && !state->oom_killed)) continue;
    return std::unexpected(exited(container, *state));
  }
  return {};
}

StepResult<void> DeploySteps::await_health(const WorkloadPlan& plan, const HealthTarget& target,
                                           const OnStarted& on_started, SteadyTime until, const std::stop_token& stop) {
  int good = 0;
  int exits = 0;
  while (true) {
    if (auto running = check_still_running(plan, stop); !running) {
      // A program that ends while it comes up is started again, as later; one that goes on so has failed.
      if (running.error().cancelled || running.error().code == ErrorCode::internal) return running;
      if (++exits > 5) return running;
      good = 0;
      if (!clock_.sleep_for(std::min<Milliseconds>(Milliseconds(1000LL << (exits - 1)), 60s), stop)) return cancelled();
      for (const PlannedContainer& container : plan.containers) {
        const auto state = runtime_.inspect(container.spec.name, stop);
        if (!state) return failed(state.error());
        if (state->running || (container.may_complete && state->exit_code == 0)) continue;
        if (const auto again = runtime_.start(container.spec.name, stop); !again) return failed(again.error());
        on_started(container);
      }
      continue;
    }
    good = healthy(target, stop) ? good + 1 : 0;
    if (stop.stop_requested()) return cancelled();
    if (good >= kGoodInARow) return {};
    if (clock_.steady_now() >= until)
      return failed(ErrorCode::health_check_failed, target.path.empty()
                                                        ? "the workload's port takes no connection"
                                                        : fmt::format("GET {} gives no good answer", target.path));
    if (!clock_.sleep_for(kHealthPoll, stop)) return cancelled();
  }
}

// ---- stopping ------------------------------------------------------------------------------------------------------

RuntimeResult<std::vector<ContainerSummary>> DeploySteps::containers_of(std::string_view deployment_id,
                                                                        std::int64_t revision,
                                                                        const std::stop_token& stop) {
  auto all = runtime_.list(stop);
  if (!all) return all;
  std::erase_if(*all, [&](const ContainerSummary& c) { return !belongs(c.labels, deployment_id, revision); });
  return all;
}

RuntimeResult<void> DeploySteps::stop_containers(const WorkloadPlan& plan, const std::stop_token& stop) {
  std::mutex mutex;
  RuntimeResult<void> out;
  for (const auto& level : plan.stop_levels) {
    std::vector<std::jthread> threads;
    for (const std::string& service : level) {
      const PlannedContainer* container = plan.find(service);
      if (container == nullptr) continue;
      threads.emplace_back([&, container] {
        const auto stopped = runtime_.stop(container->spec.name, container->stop_grace, stop);
        const std::lock_guard lock(mutex);
        if (!stopped) out = stopped;
      });
    }
    threads.clear();  // joins
    if (!out) return out;
  }
  return out;
}

RuntimeResult<void> DeploySteps::remove_containers(std::string_view deployment_id, std::int64_t revision,
                                                   const std::stop_token& stop) {
  const auto containers = containers_of(deployment_id, revision, stop);
  if (!containers) return std::unexpected(containers.error());
  for (const ContainerSummary& container : *containers)
    if (auto removed = runtime_.remove(container.id, stop); !removed) return removed;
  return {};
}

RuntimeResult<void> DeploySteps::remove_networks(std::string_view deployment_id, const std::stop_token& stop) {
  const auto networks = runtime_.list_networks(stop);
  if (!networks) return std::unexpected(networks.error());
  for (const NetworkInfo& network : *networks)
    if (belongs(network.labels, deployment_id, 0))
      if (auto removed = runtime_.remove_network(network.id, stop); !removed) return removed;
  return {};
}

RuntimeResult<void> DeploySteps::remove_volumes(std::string_view deployment_id, const std::stop_token& stop) {
  const auto volumes = runtime_.list_volumes(stop);
  if (!volumes) return std::unexpected(volumes.error());
  for (const VolumeInfo& volume : *volumes)
    if (belongs(volume.labels, deployment_id, 0))
      if (auto removed = runtime_.remove_volume(volume.name, stop); !removed) return removed;
  return {};
}

}  // namespace ee::agent
