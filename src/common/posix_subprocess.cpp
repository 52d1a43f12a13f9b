#include "common/posix_subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "common/require.h"

namespace ee {
namespace {

constexpr std::size_t kMaxLine = 16UL * 1024;

class Pipe {
 public:
  static std::optional<Pipe> make() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
    return Pipe(ends[0], ends[1]);
  }
  Pipe(Pipe&& other) noexcept : read_(std::exchange(other.read_, -1)), write_(std::exchange(other.write_, -1)) {}
  Pipe& operator=(Pipe&&) = delete;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_read();
    close_write();
  }
  int read_end() const { return read_; }
  int write_end() const { return write_; }
  int release_read() { return std::exchange(read_, -1); }
  void close_read() {
    if (read_ >= 0) ::close(std::exchange(read_, -1));
  }
  void close_write() {
    if (write_ >= 0) ::close(std::exchange(write_, -1));
  }

 private:
  Pipe(int read_end, int write_end) : read_(read_end), write_(write_end) {}
  int read_;
  int write_;
};

/// Cuts what a child prints into lines.
class LineReader {
 public:
  explicit LineReader(const std::function<void(std::string_view)>& on_line) : on_line_(on_line) {}
  void take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        end_line();
      } else if (line_.size() < kMaxLine) {  // the rest of a longer line is dropped
        line_.push_back(c);
      }
    }
  }
  void end_line() {
    if (on_line_ && !line_.empty()) on_line_(line_);
    line_.clear();
  }

 private:
  const std::function<void(std::string_view)>& on_line_;
  std::string line_;
};

/// What a child's output is read for. A descriptor below 0 is not read.
struct Outputs {
  int lines = -1;  ///< cut into lines; standard error, or both
  int bytes = -1;  ///< standard output, when it is wanted apart
  std::function<void(std::string_view)> on_line;
  std::function<void(std::string_view)> on_bytes;
};

/// Reads what can be read now; false when there will be no more.
bool drain(int descriptor, const std::function<void(std::string_view)>& take) {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got > 0)
      take({buffer.data(), static_cast<std::size_t>(got)});
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
      return false;
    else if (errno == EAGAIN)
      return true;
  }
}

/// Reads until every writer is gone, so that the child never blocks on a full pipe; or, once `done` can be read, what
/// is there already: a grandchild that got away may hold the other ends for ever.
void read_outputs(Outputs outputs, int done) {
  LineReader reader(outputs.on_line);
  const auto read_one = [](int& descriptor, const std::function<void(std::string_view)>& take) {
    if (descriptor < 0 || drain(descriptor, take)) return;
    ::close(std::exchange(descriptor, -1));
  };
  while (true) {
    read_one(outputs.lines, [&](std::string_view bytes) { reader.take(bytes); });
    read_one(outputs.bytes, outputs.on_bytes);
    if (outputs.lines < 0 && outputs.bytes < 0) break;
    std::array<pollfd, 3> ready = {pollfd{.fd = outputs.lines, .events = POLLIN, .revents = 0},
                                   pollfd{.fd = outputs.bytes, .events = POLLIN, .revents = 0},
                                   pollfd{.fd = done, .events = POLLIN, .revents = 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) break;
    if (ready[0].revents == 0 && ready[1].revents == 0 && ready[2].revents != 0) break;
  }
  reader.end_line();
  for (const int descriptor : {outputs.lines, outputs.bytes})
    if (descriptor >= 0) ::close(descriptor);
}

class PosixSubprocess final : public Subprocess {
 public:
  PosixSubprocess(pid_t pid, int done, Outputs outputs)
      : pid_(pid), done_(done), reader_([done, outputs = std::move(outputs)] { read_outputs(outputs, done); }) {}
  ~PosixSubprocess() override {
    if (!ended_) {
      ::kill(pid_, SIGKILL);
      reap(0);
    }
    ::eventfd_write(done_, 1);
    reader_.join();
    ::close(done_);
  }
  std::optional<ExitStatus> poll() override {
    if (!ended_) reap(WNOHANG);
    return ended_;
  }
  void send(SubprocessSignal signal) override {
    if (!ended_) ::kill(pid_, signal == SubprocessSignal::terminate ? SIGTERM : SIGKILL);
  }

 private:
  /// What the child started goes with it. Its group is signalled while the zombie still holds the number.
  void reap(int options) {
    siginfo_t info{};
    int got = 0;
    do {
      got = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | options);
    } while (got != 0 && errno == EINTR);
    if (got == 0 && info.si_pid == 0) return;  // still runs
    ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    ExitStatus ended;
    if (WIFEXITED(status)) {
      ended.code = WEXITSTATUS(status);
    } else {
      ended.signal = WTERMSIG(status);
    }
    ended_ = ended;
  }

  pid_t pid_;
  int done_;  // eventfd: the child is gone, no more output is awaited
  std::optional<ExitStatus> ended_;
  std::jthread reader_;
};

/// Everything that the child needs, made before the fork: after it only async-signal-safe calls are allowed, since
/// another thread may have held any lock.
struct Prepared {
  std::string file;
  std::vector<char*> argv;
  std::vector<char*> environment;
};

[[noreturn]] void run_child(const Prepared& prepared, int output, int errors, int failure, pid_t parent) {
  const auto give_up = [&] {
    const int reason = errno;
    [[maybe_unused]] const auto ignored = ::write(failure, &reason, sizeof(reason));
    ::_exit(127);
  };
  ::setpgid(0, 0);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up();
  if (::getppid() != parent) ::_exit(127);  // the parent ended before the line above
  struct sigaction dispose{};
  dispose.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &dispose, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", O_RDONLY);
  if (input < 0 || ::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(errors, 2) < 0) give_up();
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execve(prepared.file.c_str(), prepared.argv.data(), prepared.environment.data());
  give_up();
  ::_exit(127);
}

}  // namespace

std::optional<std::string> find_program(const std::string& name, const std::string& path) {
  const auto executable = [](const std::string& file) { return ::access(file.c_str(), X_OK) == 0; };
  if (name.find('/') != std::string::npos) return executable(name) ? std::optional(name) : std::nullopt;
  std::string_view rest = path;
  while (!name.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    if (directory.starts_with('/')) {  // relative entries are not searched
      std::string file = fmt::format("{}/{}", directory, name);
      if (executable(file)) return file;
    }
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

Result<std::unique_ptr<Subprocess>> PosixSubprocessLauncher::start(const SubprocessSpec& spec) {
  require(!spec.argv.empty());
  const char* path = std::getenv("PATH");
  const auto file = find_program(spec.argv.front(), path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
  if (!file) return fail(ErrorCode::internal_error, fmt::format("{}: no such program", spec.argv.front()));
  auto lines = Pipe::make();
  auto bytes = Pipe::make();
  auto failure = Pipe::make();
  const int done = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!lines || !bytes || !failure || done < 0 || ::fcntl(lines->read_end(), F_SETFL, O_NONBLOCK) != 0 ||
      ::fcntl(bytes->read_end(), F_SETFL, O_NONBLOCK) != 0) {
    if (done >= 0) ::close(done);
    return fail(ErrorCode::internal_error, "cannot make a pipe");
  }

  std::vector<std::string> argv = spec.argv;
  std::vector<Secret> environment;
  for (const auto& [name, value] : spec.environment) environment.emplace_back(name + "=" + value.reveal());
  Prepared prepared{.file = *file, .argv = {}, .environment = {}};
  for (std::string& argument : argv) prepared.argv.push_back(argument.data());
  for (const Secret& entry : environment) prepared.environment.push_back(const_cast<char*>(entry.reveal().c_str()));
  prepared.argv.push_back(nullptr);
  prepared.environment.push_back(nullptr);

  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    const int reason = errno;
    ::close(done);
    return fail(ErrorCode::internal_error, fmt::format("cannot fork: {}", std::strerror(reason)));
  }
  const bool apart = static_cast<bool>(spec.on_output);
  if (pid == 0)
    run_child(prepared, apart ? bytes->write_end() : lines->write_end(), lines->write_end(), failure->write_end(),
              parent);

  lines->close_write();
  bytes->close_write();
  failure->close_write();
  int reason = 0;
  ssize_t got = 0;
  do {
    got = ::read(failure->read_end(), &reason, sizeof(reason));  // ends when exec has closed the other end
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(reason)) {
    ::waitpid(pid, nullptr, 0);
    ::close(done);
    return fail(ErrorCode::internal_error, fmt::format("cannot run {}: {}", *file, std::strerror(reason)));
  }
  return std::make_unique<PosixSubprocess>(pid, done,
                                           Outputs{.lines = lines->release_read(),
                                                   .bytes = apart ? bytes->release_read() : -1,
                                                   .on_line = spec.on_line,
                                                   .on_bytes = spec.on_output});
}

}  // namespace ee
