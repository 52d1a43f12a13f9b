#pragma once
#include <expected>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/runtime/container_runtime.h"
#include "agent/runtime/engine_client.h"
#include "agent/runtime/fake_runtime_server.h"
#include "agent/secret_mask.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// The container engine that the configuration names, probed.
struct ChosenRuntime {
  std::unique_ptr<ContainerRuntime> runtime;   ///< null with `container_runtime=none`
  std::unique_ptr<FakeRuntimeServer> answers;  ///< with `fake`; destroyed first
  RuntimeInfo info;
  std::string socket;  ///< empty unless an engine's
};

/// Where engines listen: docker, then podman. Tests give places of their own.
struct EngineSockets {
  std::string docker = "/run/docker.sock";
  std::string podman = "/run/podman/podman.sock";
};

/// Chooses by `container_runtime` and `container_socket`: `auto` takes the first socket that there is; `docker` and
/// `podman` want that very engine. The error is the sentence for exit code 4 (ExitCode::container_engine): there is
/// none, it does not speak API 1.41, or it is another one than asked for. `clock`, `random` and `mask`, whose values
/// are taken out of the engine's messages, outlive the result. Waits at most about 15 s for an engine that is just
/// starting.
std::expected<ChosenRuntime, std::string> choose_runtime(const AgentConfig& config, const std::string& instance,
                                                         Clock& clock, Random& random, const std::stop_token& stop,
                                                         const EngineSockets& sockets = {},
                                                         const EngineTimeouts& timeouts = {},
                                                         const SecretMask* mask = nullptr);

}  // namespace ee::agent
