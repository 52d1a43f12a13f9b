#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/secret.h"

namespace ee {

/// A child process to start. It gets exactly this environment, no open file but its standard ones, and is killed by
/// the kernel when the thread that started it ends: start it from a thread that lives as long as it should.
struct SubprocessSpec {
  std::vector<std::string> argv;  ///< argv[0] is a path, or a name that is looked up in PATH of the caller
  std::vector<std::pair<std::string, Secret>> environment = {};
  /// Called with each line of standard output and standard error, without its end, at most 16 KiB of it; from a thread
  /// of the child's own. Never called again once the `Subprocess` is destroyed.
  std::function<void(std::string_view)> on_line = {};
  /// When set, it gets the bytes of standard output as they come, and `on_line` sees standard error only. Called and
  /// never called as `on_line`.
  std::function<void(std::string_view)> on_output = {};
};

/// How a child ended.
struct ExitStatus {
  bool operator==(const ExitStatus&) const = default;
  std::optional<int> code;    ///< exit code, or
  std::optional<int> signal;  ///< the signal that ended it
};

enum class SubprocessSignal { terminate, kill };

/// A running or ended child. Destroying it kills and reaps the child, if it still runs. Not thread-safe.
class Subprocess {
 public:
  virtual ~Subprocess() = default;
  /// How it ended, or nothing while it runs. Never blocks.
  virtual std::optional<ExitStatus> poll() = 0;
  /// No effect once it has ended.
  virtual void send(SubprocessSignal signal) = 0;
};

/// Where child processes enter. Implementation: common/posix_subprocess.h; the fake for tests:
/// common/fake_subprocess.h.
class SubprocessLauncher {
 public:
  virtual ~SubprocessLauncher() = default;
  /// Errors: internal_error, with the reason of the system (program not found, not executable, no more processes).
  virtual Result<std::unique_ptr<Subprocess>> start(const SubprocessSpec& spec) = 0;
};

}  // namespace ee
