#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load_client.h"

namespace ee::bench {

/// An `ee-cp serve` that a load program starts, stops and looks at from outside. Its environment is the caller's.
class ServerProcess {
 public:
  /// `program`: path of ee-cp. Output goes to `log`. Starts nothing yet.
  ServerProcess(std::string program, std::string log, LoadOptions where)
      : program_(std::move(program)), log_(std::move(log)), where_(std::move(where)) {}
  ~ServerProcess() { stop(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  /// Returns when `/ready` answers 200. Throws when it does not within a minute. The seconds that it took.
  double start();
  /// SIGTERM, and waits for its end.
  void stop();
  bool running() const { return pid_ > 0; }

  struct Use {
    double cpu_seconds = 0;       ///< of this process, user and system
    std::int64_t memory_kib = 0;  ///< resident
    std::int64_t commits = 0;     ///< transactions that were written to disk
    std::int64_t flushed = 0;     ///< runs of job `agent_flush`
  };
  /// What it has used since its start; from /proc and `/metrics`.
  Use use() const;

 private:
  std::string program_;
  std::string log_;
  LoadOptions where_;
  pid_t pid_ = -1;
};

}  // namespace ee::bench
