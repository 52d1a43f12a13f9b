#pragma once
#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ee::net {

/// Which queue a job waits in. Workers take from them in this order.
enum class Lane { reserved, normal, outside };

/// Threads that run route handlers. A hanging outside service cannot take them all: `outside` jobs run on at most half
/// of the workers at once, and with four workers or more a tenth (at least one) is left to `reserved` jobs. Whoever
/// submits bounds the queues. Thread-safe.
class WorkerPool {
 public:
  using Job = std::move_only_function<void()>;

  explicit WorkerPool(std::size_t threads);
  /// Waits for running jobs; queued ones are destroyed without having run.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Jobs must not throw.
  void submit(Lane lane, Job job);
  /// Forgets queued jobs and waits for running ones. `submit` does nothing afterwards.
  void stop();

 private:
  void work();
  std::deque<Job>* next_queue(Lane& lane);
  std::size_t limit(Lane lane) const;
  bool take_wake_up();

  const std::size_t size_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::array<std::deque<Job>, 3> queues_;
  std::array<std::size_t, 3> running_{};
  std::size_t sleeping_ = 0;
  bool waking_ = false;  ///< somebody is on the way out of the wait
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ee::net
