#pragma once
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "common/subprocess.h"

namespace ee::agent {

/// Runs a program of one image as if it were a child process: on the host's network, as root without capabilities, its
/// file system read-only but for the folders named here. `argv[0]` names the container, the rest are its arguments
/// after the image's own entry point.
///
/// Unlike a child process the container outlives this process when that is killed; the next `start` of that name
/// replaces it. Thread-safe; each `Subprocess` belongs to one thread.
class ContainerLauncher final : public SubprocessLauncher {
 public:
  struct Options {
    std::string image;                   ///< `repo@sha256:<hex>`; pulled, without credentials, when it is not there
    std::string instance;                ///< of the label by which this agent knows what it made
    std::vector<std::string> writable;   ///< folders of this host, at the same path inside
    std::vector<std::string> read_only;  ///< files and folders, likewise
    std::stop_token stop = {};           ///< ends a pull, and with it `start`
  };
  /// `runtime` outlives the launcher and what it started.
  ContainerLauncher(Options options, ContainerRuntime& runtime);

  /// Blocks while the image is pulled. Errors: internal_error.
  Result<std::unique_ptr<Subprocess>> start(const SubprocessSpec& spec) override;

 private:
  Result<void> need_image();
  std::string body(const SubprocessSpec& spec) const;

  Options options_;
  ContainerRuntime& runtime_;
};

}  // namespace ee::agent
