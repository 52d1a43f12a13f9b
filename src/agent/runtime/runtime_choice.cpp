#include "agent/runtime/runtime_choice.h"

#include <sys/stat.h>

#include "agent/runtime/engine_runtime.h"
#include "common/log.h"

namespace ee::agent {
namespace {

bool is_socket(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

/// The socket to try; the configured one even if it is not there yet.
std::string socket_for(const AgentConfig& config, const EngineSockets& sockets) {
  if (config.container_socket) return *config.container_socket;
  switch (config.container_runtime) {
    case ContainerRuntimeKind::docker: return sockets.docker;
    case ContainerRuntimeKind::podman: return sockets.podman;
    default: break;
  }
  return is_socket(sockets.docker) || !is_socket(sockets.podman) ? sockets.docker : sockets.podman;
}

ChosenRuntime make_fake(const std::string& instance, Clock& clock, Random& random) {
  auto runtime = std::make_unique<FakeRuntime>(clock, instance);
  runtime->set_any_image(true);
  auto answers = std::make_unique<FakeRuntimeServer>(*runtime, clock, random);
  ChosenRuntime chosen;
  chosen.info =
      RuntimeInfo{.name = "fake", .version = "1", .api_version = "1.41", .cgroup_version = 2, .root_directory = {}};
  chosen.runtime = std::move(runtime);
  chosen.answers = std::move(answers);
  return chosen;
}

}  // namespace

std::expected<ChosenRuntime, std::string> choose_runtime(const AgentConfig& config, const std::string& instance,
                                                         Clock& clock, Random& random, const std::stop_token& stop,
                                                         const EngineSockets& sockets, const EngineTimeouts& timeouts,
                                                         const SecretMask* mask) {
  if (config.container_runtime == ContainerRuntimeKind::none) return ChosenRuntime{};
  if (config.container_runtime == ContainerRuntimeKind::fake) return make_fake(instance, clock, random);
  ChosenRuntime chosen;
  chosen.socket = socket_for(config, sockets);
  chosen.runtime = std::make_unique<EngineRuntime>(
      EngineOptions{.socket = chosen.socket, .instance = instance, .timeouts = timeouts, .mask = mask}, clock);
  auto info = chosen.runtime->probe(stop);
  if (!info)
    return std::unexpected(
        "no usable container engine at " + chosen.socket + ": " +
        (info.error().detail.empty() ? std::string(to_string(info.error().failure)) : info.error().detail));
  const bool wants_podman = config.container_runtime == ContainerRuntimeKind::podman;
  const bool wants_docker = config.container_runtime == ContainerRuntimeKind::docker;
  if ((wants_podman && info->name != "podman") || (wants_docker && info->name != "docker"))
    return std::unexpected("the container engine at " + chosen.socket + " is " + info->name);
  if (info->name == "podman" && info->cgroup_version == 1) return std::unexpected("podman needs cgroup v2");
  log::info("container_runtime", "container engine found",
            {{"engine", info->name}, {"version", info->version}, {"socket", chosen.socket}});
  chosen.info = std::move(*info);
  return chosen;
}

}  // namespace ee::agent
