#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent/runtime/container_runtime.h"
#include "agent/runtime/log_ring.h"
#include "common/clock.h"

namespace ee::agent {

/// Brings the lines of containers into the ring, with one thread per container. Thread-safe.
class LogCollectors {
 public:
  /// All must outlive it.
  LogCollectors(ContainerRuntime& runtime, LogRing& ring, Clock& clock)
      : runtime_(runtime), ring_(ring), clock_(clock) {}
  LogCollectors(const LogCollectors&) = delete;
  LogCollectors& operator=(const LogCollectors&) = delete;
  ~LogCollectors();

  /// Call it after each start of a container: collecting goes on where it was. For a container that ran before this
  /// agent did, it begins with all that the engine has.
  void attach(const LogSource& source, const std::string& container_id);
  /// Ends at once. Lines that were not read yet are lost; `drain` first, where the end matters.
  void detach(const std::string& container_id);
  /// Waits until all of a container that has ended is in the ring, or `stop`.
  void drain(const std::string& container_id, const std::stop_token& stop);

 private:
  struct Collector;
  void run(Collector& collector, const std::stop_token& stop);

  ContainerRuntime& runtime_;
  LogRing& ring_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Collector>> collectors_;  // by container id
};

}  // namespace ee::agent
