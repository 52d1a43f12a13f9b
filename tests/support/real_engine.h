#pragma once
#include <csignal>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace ee::testing {

/// Debian's own dockerd and docker-registry for tests, apart from any engine of the machine: socket, data, execution
/// root and images of their own, driver `vfs`, no default bridge. Needs root and a kernel that lets it; one at a time
/// on a machine, since all share the machine's packet filter. Everything it made is removed in the end.
class RealEngine {
 public:
  /// Why there is none, beginning with `docker_unusable`, for GTEST_SKIP: no root, no dockerd, or it or a first
  /// container did not start. Takes about two seconds.
  static std::expected<std::unique_ptr<RealEngine>, std::string> start();
  RealEngine(const RealEngine&) = delete;
  RealEngine& operator=(const RealEngine&) = delete;
  ~RealEngine();

  std::string socket() const { return (root_ / "d.sock").string(); }
  /// `127.0.0.1:<port>`: the engine talks to it without TLS.
  std::string registry() const { return "127.0.0.1:" + std::to_string(registry_port_); }

  struct Image {
    std::string name = "busybox";           ///< repository in the registry
    std::vector<std::string> changes = {};  ///< Dockerfile lines: `HEALTHCHECK ...`, `CMD [...]`
    bool keep_local = false;                ///< else only the registry has it in the end
  };
  /// Makes an image of a static busybox (/bin/sh and its tools), pushes it under the tag `1`, and returns its pinned
  /// reference. /www has a page; /bin/websocket is what `nc -e` needs to answer WebSockets: it says `hello`, then
  /// echoes. Throws when the engine refuses.
  std::string push(const Image& image);

  struct Answer {
    int status = 0;
    std::string body;
  };
  /// A call of the engine's API, with body of that type.
  Answer call(const std::string& method, const std::string& target, const std::string& body = {},
              const std::string& content_type = "application/json") const;

  /// Where all that belongs to it lies; removed in the end.
  const std::filesystem::path& folder() const { return root_; }
  /// Stops the engine; containers live on as dockerd leaves them (it stops them), and starts it again.
  void restart();
  /// kill -9. Containers run on alone; dockerd stops them when it starts again.
  void kill_hard();
  /// Starts it after `kill_hard` and waits until it answers.
  void start_again();
  /// Nothing can be pulled until it goes on: connections to the registry hang.
  void hold_registry() const { registry_->signal(SIGSTOP); }
  void release_registry() const { registry_->signal(SIGCONT); }
  /// Runs a program in a running container and waits for it; its exit code, -1 when it did not run.
  int exec(const std::string& container, const std::vector<std::string>& arguments) const;
  std::string log() const;

 private:
  RealEngine() = default;
  void launch();
  bool wait_ready() const;
  void remove_everything();

  std::filesystem::path root_;
  int lock_ = -1;
  std::uint16_t registry_port_ = 0;
  std::unique_ptr<ChildProcess> registry_;
  std::unique_ptr<ChildProcess> daemon_;
  std::string root_tar_;
};

/// Debian's podman, with the registry of a `RealEngine`; storage of its own. Not in tools/packages.txt: tests that want
/// it are skipped where it is missing.
class RealPodman {
 public:
  /// Why there is none, beginning with `podman_unusable`. `engine` must outlive it.
  static std::expected<std::unique_ptr<RealPodman>, std::string> start(const RealEngine& engine);
  RealPodman(const RealPodman&) = delete;
  RealPodman& operator=(const RealPodman&) = delete;
  ~RealPodman();
  std::string socket() const { return (root_ / "p.sock").string(); }
  std::string log() const;
  /// Runs `podman <arguments>` on the same storage; its exit code.
  int run(const std::vector<std::string>& arguments) const;

 private:
  RealPodman() = default;
  std::vector<std::string> command(const std::vector<std::string>& arguments) const;
  std::map<std::string, std::string> environment() const;

  std::filesystem::path root_;
  std::unique_ptr<ChildProcess> service_;
};

}  // namespace ee::testing
