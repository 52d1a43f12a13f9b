#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/compose/compose.h"

namespace ee::compose {

/// What the agent knows about a deployment's place. All texts are the agent's own, never the file's.
struct Placement {
  std::string prefix = {};            ///< `ee-<d>`: network `<prefix>`, `<prefix>-<net>`, volume `<prefix>_<volume>`
  std::string workload_address = {};  ///< host address of published ports
  std::string secrets_dir = {};       ///< `<run_dir>/secrets/<deployment>/<revision>`
  std::int64_t vm_memory_mib = 0;     ///< a service without a memory limit gets this less 512 MiB
  std::map<std::string, std::string> env = {};  ///< the document's `env`
};

struct CreateNetwork {
  std::string name;  ///< the engine's name
  bool internal = false;
};

/// A network that is joined by `connect`, after creation and before the start.
struct ConnectNetwork {
  std::string name;  ///< the engine's name
  std::vector<std::string> aliases;
};

/// One container. `body` is the Engine API 1.41 create body without the agent's labels and without secret values.
struct CreateContainer {
  std::string service;
  std::string image;  ///< pinned reference
  boost::json::object body;
  /// Names of secrets that the agent appends to the body's `Env` as `NAME=value`, sorted.
  std::vector<std::string> secret_env = {};
  std::vector<ConnectNetwork> connect = {};
  std::vector<Dependency> depends_on = {};  ///< what must hold before the start, sorted by service
  /// `image` = the image's own health check, if it has one, counts.
  enum class Health : std::uint8_t { image, file, disabled } health = Health::image;
  std::int64_t stop_seconds = 10;  ///< before SIGKILL; a stop uses the smaller of it and the document's
};

struct Plan {
  std::vector<CreateNetwork> networks;                ///< that of the deployment first
  std::vector<std::string> volumes;                   ///< the engine's names
  std::vector<CreateContainer> containers;            ///< in the order of starting: by depends_on, ties by name
  std::vector<std::vector<std::string>> stop_levels;  ///< services; a level is stopped at once, first level first
};

/// Pure. `workload` comes from `check_resolved`. 02 section 16.2.
Plan create_requests(const Workload& workload, const Placement& placement);

}  // namespace ee::compose
