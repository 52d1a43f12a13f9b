#include "common/posix_subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "tests/support/temp_dir.h"

namespace ee {
namespace {

/// Collects lines; `wait_for` blocks until one begins with a text.
class Lines {
 public:
  std::function<void(std::string_view)> sink() {
    return [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
      changed_.notify_all();
    };
  }
  std::string wait_for(std::string_view prefix) {
    std::unique_lock lock(mutex_);
    std::string found;
    changed_.wait(lock, [&] {
      for (const std::string& line : lines_)
        if (line.starts_with(prefix)) found = line;
      return !found.empty();
    });
    return found;
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

/// Waits for the child without a clock: the pipe's end says that it is over.
ExitStatus wait_for_end(Subprocess& child) {
  while (true) {
    if (const auto ended = child.poll()) return *ended;
    std::this_thread::yield();
  }
}
bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

TEST(PosixSubprocess, RunsWithExactlyTheGivenEnvironment) {
  ::setenv("EE_TEST_LEAK", "leaked", 1);
  Lines lines;
  PosixSubprocessLauncher launcher;
  auto child = launcher.start({.argv = {"/usr/bin/env"},
                               .environment = {{"TUNNEL_TOKEN", Secret("t0ken")}, {"HOME", Secret("/")}},
                               .on_line = lines.sink()});
  ASSERT_TRUE(child) << child.error().detail;
  EXPECT_EQ(wait_for_end(**child).code, 0);
  child->reset();  // joins the reader
  EXPECT_EQ(lines.all(), (std::vector<std::string>{"TUNNEL_TOKEN=t0ken", "HOME=/"}));
}

TEST(PosixSubprocess, GivesStandardOutputApartAndWhole) {
  Lines errors;
  std::string output;
  PosixSubprocessLauncher launcher;
  auto child = launcher.start({.argv = {"/bin/sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo oops >&2"},
                               .environment = {{"PATH", Secret("/bin:/usr/bin")}},
                               .on_line = errors.sink(),
                               .on_output = [&](std::string_view bytes) { output += bytes; }});
  ASSERT_TRUE(child);
  wait_for_end(**child);
  child->reset();
  EXPECT_EQ(output, std::string(100000, 'x'));
  EXPECT_EQ(errors.all(), std::vector<std::string>{"oops"});
}

TEST(PosixSubprocess, InheritsNoDescriptorAndNoSignalMask) {
  const int leak = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(leak, 0);
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, &old);
  Lines lines;
  PosixSubprocessLauncher launcher;
  auto child =
      launcher.start({.argv = {"/bin/sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; echo; grep SigBlk /proc/self/status"},
                      .environment = {{"PATH", Secret("/usr/bin:/bin")}},
                      .on_line = lines.sink()});
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ::close(leak);
  ASSERT_TRUE(child);
  wait_for_end(**child);
  child->reset();
  ASSERT_EQ(lines.all().size(), 2U);
  EXPECT_EQ(lines.all()[0], "0 1 2 3 ");  // 3: the directory that ls itself reads
  EXPECT_NE(lines.all()[1].find("0000000000000000"), std::string::npos);
}

TEST(PosixSubprocess, TellsHowTheChildEnded) {
  PosixSubprocessLauncher launcher;
  auto failed = launcher.start({.argv = {"/bin/sh", "-c", "exit 7"}});
  ASSERT_TRUE(failed);
  EXPECT_EQ(wait_for_end(**failed).code, 7);

  auto killed = launcher.start(
      {.argv = {"/bin/sh", "-c", "exec sleep 1000"}, .environment = {{"PATH", Secret("/bin:/usr/bin")}}});
  ASSERT_TRUE(killed);
  EXPECT_EQ((*killed)->poll(), std::nullopt);
  (*killed)->send(SubprocessSignal::terminate);
  EXPECT_EQ(wait_for_end(**killed).signal, SIGTERM);
}

TEST(PosixSubprocess, FailsWhenTheProgramCannotRun) {
  const testing::TempDir dir;
  PosixSubprocessLauncher launcher;
  EXPECT_FALSE(launcher.start({.argv = {"/nonexistent/program"}}));
  EXPECT_FALSE(launcher.start({.argv = {"no-such-program-anywhere"}}));
  const std::string file = dir / "empty";
  std::fclose(std::fopen(file.c_str(), "w"));
  ::chmod(file.c_str(), 0755);
  const auto not_a_program = launcher.start({.argv = {file}});
  ASSERT_FALSE(not_a_program);
  EXPECT_NE(not_a_program.error().detail.find("cannot run"), std::string::npos);
}

TEST(PosixSubprocess, DestructionKillsTheChildAndItsOwnChildren) {
  Lines lines;
  PosixSubprocessLauncher launcher;
  auto child =
      launcher.start({.argv = {"/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo inner $!; echo outer $$; wait"},
                      .environment = {{"PATH", Secret("/bin:/usr/bin")}},
                      .on_line = lines.sink()});
  ASSERT_TRUE(child);
  const pid_t inner = std::stoi(lines.wait_for("inner ").substr(6));
  const pid_t outer = std::stoi(lines.wait_for("outer ").substr(6));
  child->reset();
  EXPECT_TRUE(is_gone(outer));
  while (!is_gone(inner)) std::this_thread::yield();  // reaped by init
}

TEST(PosixSubprocess, CutsLongLines) {
  Lines lines;
  PosixSubprocessLauncher launcher;
  auto child = launcher.start({.argv = {"/bin/sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"},
                               .environment = {{"PATH", Secret("/bin:/usr/bin")}},
                               .on_line = lines.sink()});
  ASSERT_TRUE(child);
  wait_for_end(**child);
  child->reset();
  ASSERT_EQ(lines.all().size(), 2U);
  EXPECT_EQ(lines.all()[0].size(), 16384U);
  EXPECT_EQ(lines.all()[1], "end");
}

// The agent itself is killed: its child must not outlive it. A process of the test's own plays the agent.
// covers: S02_EEA_CFD_004
TEST(PosixSubprocess, S02_EEA_CFD_004_a_child_does_not_outlive_a_killed_agent) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    PosixSubprocessLauncher launcher;
    std::promise<void> never;
    auto child = launcher.start({.argv = {"/bin/sh", "-c", "echo $$; exec sleep 1000"},
                                 .environment = {{"PATH", Secret("/bin:/usr/bin")}},
                                 .on_line = [&](std::string_view line) {
                                   const auto pid = static_cast<pid_t>(std::stoi(std::string(line)));
                                   if (::write(ends[1], &pid, sizeof(pid)) < 0) ::_exit(1);
                                 }});
    never.get_future().wait();
    ::_exit(0);
  }
  pid_t child = 0;
  ASSERT_EQ(::read(ends[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ASSERT_FALSE(is_gone(child));

  ::kill(agent, SIGKILL);
  ::waitpid(agent, nullptr, 0);

  while (!is_gone(child)) std::this_thread::yield();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(FindProgram, SearchesAbsoluteDirectoriesOnly) {
  EXPECT_EQ(find_program("sh", "/nonexistent:/bin"), "/bin/sh");
  EXPECT_EQ(find_program("sh", "bin:"), std::nullopt);
  EXPECT_EQ(find_program("/bin/sh", ""), "/bin/sh");
  EXPECT_EQ(find_program("", "/bin"), std::nullopt);
}

}  // namespace
}  // namespace ee
