#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/time.h"

namespace ee::cp {

/// A few threads for work that waits for others. The one thread that owns it hands out no more than there are free
/// threads, so that nothing ages in a queue; threads begin when they are first needed. The destructor waits for what
/// was handed out.
class WorkCrew {
 public:
  /// `most` threads.
  explicit WorkCrew(std::size_t most) : most_(most) {}
  WorkCrew(const WorkCrew&) = delete;
  WorkCrew& operator=(const WorkCrew&) = delete;
  ~WorkCrew();

  std::size_t free() const;
  /// Whether nobody works.
  bool idle() const;
  /// Only while somebody is free. `work` must not throw.
  void start(std::function<void()> work);
  /// Until somebody has finished since the last call, or `most` has passed.
  void wait_for_one(Milliseconds most);

 private:
  void run();

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable given_;
  std::condition_variable finished_;
  std::deque<std::function<void()>> waiting_;
  std::size_t busy_ = 0;  ///< also those whose work waits for a thread
  bool one_finished_ = false;
  bool ending_ = false;
  std::vector<std::thread> threads_;  // of the owner's thread alone
};

}  // namespace ee::cp
