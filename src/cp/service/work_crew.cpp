#include "cp/service/work_crew.h"

#include "common/require.h"

namespace ee::cp {

WorkCrew::~WorkCrew() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  given_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::size_t WorkCrew::free() const {
  const std::lock_guard lock(mutex_);
  return most_ - busy_;
}

bool WorkCrew::idle() const {
  const std::lock_guard lock(mutex_);
  return busy_ == 0;
}

void WorkCrew::start(std::function<void()> work) {
  bool needs_thread = false;
  {
    const std::lock_guard lock(mutex_);
    require(busy_ < most_);
    waiting_.push_back(std::move(work));
    needs_thread = ++busy_ > threads_.size();
  }
  if (needs_thread) threads_.emplace_back([this] { run(); });
  given_.notify_one();
}

void WorkCrew::wait_for_one(Milliseconds most) {
  std::unique_lock lock(mutex_);
  finished_.wait_for(lock, most, [this] { return one_finished_; });
  one_finished_ = false;
}

void WorkCrew::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    given_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    {
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work();
    }
    lock.lock();
    --busy_;
    one_finished_ = true;
    finished_.notify_all();
  }
}

}  // namespace ee::cp
