#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace ee::testing {

ChildProcess::ChildProcess(const std::vector<std::string>& arguments,
                           const std::map<std::string, std::string>& environment, const std::filesystem::path& output)
    : output_(output) {
  std::vector<std::string> pairs;
  pairs.reserve(environment.size() + 8);
  for (const auto& [name, value] : environment) pairs.push_back(name + "=" + value);
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"})
    if (const char* value = ::getenv(name); value != nullptr) pairs.push_back(std::string(name) + "=" + value);
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (auto& pair : pairs) envp.push_back(pair.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
}

ChildProcess::~ChildProcess() {
  if (running()) {
    signal(SIGKILL);
    wait(10000);
  }
}

void ChildProcess::signal(int number) const { ::kill(pid_, number); }

std::optional<int> ChildProcess::wait(int timeout_ms) {
  for (int waited = 0; !status_; waited += 5) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == pid_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    if (waited >= timeout_ms) return std::nullopt;
    ::poll(nullptr, 0, 5);
  }
  return status_;
}

bool ChildProcess::running() { return !wait(0).has_value(); }

std::string ChildProcess::output() const {
  std::ifstream in(output_, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::filesystem::path build_dir() {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return self.filename() == "tests" ? self.parent_path() : self;
}

std::string program(const std::string& name) { return build_dir() / name; }

void breathe() { ::poll(nullptr, 0, 20); }

}  // namespace ee::testing
