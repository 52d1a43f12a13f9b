#include "bench/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace ee::bench {
namespace {

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n"; }

/// The value of the line that starts with `name` and a blank; 0 when there is none.
std::int64_t value_of(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  if (at == std::string::npos) return 0;
  double value = 0;
  std::istringstream(text.substr(at + name.size() + 2, 32)) >> value;
  return static_cast<std::int64_t>(value);
}

}  // namespace

double ServerProcess::start() {
  const auto began = std::chrono::steady_clock::now();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out >= 0) {
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
    }
    ::execl(program_.c_str(), program_.c_str(), "serve", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  for (;;) {
    const auto waited = std::chrono::steady_clock::now() - began;
    try {
      if (call(where_, get("/ready")).status == 200) return std::chrono::duration<double>(waited).count();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): it does not listen yet
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_ || waited > std::chrono::seconds(60)) {
      pid_ = -1;
      throw std::runtime_error("ee-cp did not start; see " + log_);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void ServerProcess::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
}

ServerProcess::Use ServerProcess::use() const {
  Use use;
  const std::string proc = "/proc/" + std::to_string(pid_);
  std::ifstream stat(proc + "/stat");
  std::string text;
  std::getline(stat, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;  // state and what follows, up to utime
  double user = 0;
  double system = 0;
  fields >> user >> system;
  use.cpu_seconds = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::ifstream status(proc + "/status");
  while (std::getline(status, text))
    if (text.starts_with("VmRSS:")) std::istringstream(text.substr(6)) >> use.memory_kib;
  const std::string metrics = call(where_, get("/metrics")).body;
  use.commits = value_of(metrics, "ee_db_group_size_count");
  use.flushed = value_of(metrics, R"(ee_job_runs_total{job="agent_flush",outcome="ok"})");
  return use;
}

}  // namespace ee::bench
