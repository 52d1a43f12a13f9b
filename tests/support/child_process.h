#pragma once
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ee::testing {

/// A real program of the build, with an environment of its own and its output in a file. Killed when it goes out of
/// scope.
class ChildProcess {
 public:
  /// `arguments[0]` is the program's path. The environment holds `environment` and PATH only.
  ChildProcess(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
               const std::filesystem::path& output);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// Exit code, or 128 + signal; nothing while it still runs after `timeout_ms`.
  std::optional<int> wait(int timeout_ms);
  bool running();
  std::string output() const;

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
  std::filesystem::path output_;
};

/// The folder of the build that the running test program lies in, and a program of it.
std::filesystem::path build_dir();
std::string program(const std::string& name);

/// Polls `done` until it holds or `timeout_ms` is over: for what another process does.
template <class F>
bool eventually(F done, int timeout_ms = 20000);
/// Waits a little; only inside `eventually`.
void breathe();

template <class F>
bool eventually(F done, int timeout_ms) {
  for (int waited = 0; waited < timeout_ms; waited += 20) {
    if (done()) return true;
    breathe();
  }
  return done();
}

}  // namespace ee::testing
