#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ee::cp {

/// A fixed number of threads that run what they are given, in order. Not bounded here: the runner starts no more than
/// there are threads.
class JobThreads {
 public:
  explicit JobThreads(std::size_t count);
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;
  /// Runs what is queued, then ends the threads.
  ~JobThreads();

  void start(std::function<void()> work);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ee::cp
