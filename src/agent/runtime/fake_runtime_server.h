#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/runtime/fake_runtime.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// Stands in for the programs of a `FakeRuntime` in dev builds: while a container runs, each TCP port that it publishes
/// answers every request with 200 and `{"service":..,"image":..}`. Thread-safe.
class FakeRuntimeServer {
 public:
  /// Watches `runtime` from now on; all must outlive it.
  FakeRuntimeServer(FakeRuntime& runtime, Clock& clock, Random& random);
  FakeRuntimeServer(const FakeRuntimeServer&) = delete;
  FakeRuntimeServer& operator=(const FakeRuntimeServer&) = delete;
  ~FakeRuntimeServer();

  /// `http://127.0.0.1:8080` of each port that answers now.
  std::vector<std::string> urls() const;

 private:
  struct Port;
  void start(const FakeRuntime::Container& container);
  void end(const std::string& id);

  FakeRuntime& runtime_;
  Clock& clock_;
  Random& random_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<std::unique_ptr<Port>>> ports_;  // by container id
};

}  // namespace ee::agent
