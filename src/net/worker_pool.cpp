#include "net/worker_pool.h"

#include <algorithm>
#include <utility>

namespace ee::net {

WorkerPool::WorkerPool(std::size_t threads) : size_(std::max<std::size_t>(threads, 1)) {
  threads_.reserve(size_);
  for (std::size_t i = 0; i < size_; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() { stop(); }

void WorkerPool::stop() {
  {
    std::array<std::deque<Job>, 3> forgotten;  // destroyed outside the lock: what a job holds may be heavy
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    forgotten.swap(queues_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void WorkerPool::submit(Lane lane, Job job) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queues_[static_cast<std::size_t>(lane)].push_back(std::move(job));
    wake = take_wake_up();
  }
  if (wake) wake_.notify_one();
}

/// Whether a sleeping thread is to be woken now. One at a time: it wakes the next when it finds more than it takes
/// itself, so that short jobs that come together do not wake as many threads.
bool WorkerPool::take_wake_up() {
  if (sleeping_ == 0 || waking_) return false;
  waking_ = true;
  return true;
}

std::size_t WorkerPool::limit(Lane lane) const {
  if (lane == Lane::reserved) return size_;
  const std::size_t kept_back = size_ >= 4 ? std::max<std::size_t>(size_ / 10, 1) : 0;
  return lane == Lane::normal ? size_ - kept_back : std::max<std::size_t>(size_ / 2, 1);
}

std::deque<WorkerPool::Job>* WorkerPool::next_queue(Lane& lane) {
  const std::size_t unreserved = running_[1] + running_[2];
  for (const Lane candidate : {Lane::reserved, Lane::normal, Lane::outside}) {
    auto& queue = queues_[static_cast<std::size_t>(candidate)];
    if (queue.empty()) continue;
    if (candidate != Lane::reserved && unreserved >= limit(Lane::normal)) continue;
    if (candidate == Lane::outside && running_[2] >= limit(Lane::outside)) continue;
    lane = candidate;
    return &queue;
  }
  return nullptr;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Lane lane{};
    std::deque<Job>* queue = nullptr;
    while (!stopping_ && (queue = next_queue(lane)) == nullptr) {
      ++sleeping_;
      wake_.wait(lock);
      --sleeping_;
      waking_ = false;  // also when nobody called: at worst one wake-up too many follows
    }
    if (stopping_) return;
    Job job = std::move(queue->front());
    queue->pop_front();
    ++running_[static_cast<std::size_t>(lane)];
    Lane ignored{};
    const bool wake = next_queue(ignored) != nullptr && take_wake_up();
    lock.unlock();
    if (wake) wake_.notify_one();
    job();
    job = nullptr;  // what it holds goes before the lock is taken again
    lock.lock();
    --running_[static_cast<std::size_t>(lane)];
    // No wake-up is needed for what this end makes possible: this thread looks at all queues next.
  }
}

}  // namespace ee::net
