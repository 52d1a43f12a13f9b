#include "agent/errands.h"

#include <algorithm>

#include "common/require.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
constexpr Milliseconds kIdle = 1h;

}  // namespace

void ErrandRunner::add(std::string name, Backoff backoff, Work work) {
  const std::lock_guard lock(mutex_);
  errands_.emplace(std::move(name), Errand{.work = std::move(work), .backoff = backoff});
}

void ErrandRunner::request(const std::string& name, SteadyTime at) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = errands_.find(name);
    require(found != errands_.end());
    if (found->second.due && *found->second.due <= at) return;
    found->second.due = at;
  }
  waker_.wake();
}

void ErrandRunner::cancel_all() {
  const std::lock_guard lock(mutex_);
  ++generation_;
  for (auto& [name, errand] : errands_) {
    errand.due.reset();
    errand.backoff.reset();
  }
}

std::optional<SteadyTime> ErrandRunner::due(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = errands_.find(name);
  return found == errands_.end() ? std::nullopt : found->second.due;
}

SteadyTime ErrandRunner::next_due() const {
  SteadyTime next = clock_.steady_now() + kIdle;
  for (const auto& [name, errand] : errands_)
    if (errand.due) next = std::min(next, *errand.due);
  return next;
}

void ErrandRunner::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const SteadyTime next = step(stop);
    if (waker_.wait_until(clock_, next, stop) == Waker::Why::stopped) return;
  }
}

SteadyTime ErrandRunner::step(const std::stop_token& stop) {
  Errand* errand = nullptr;
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, candidate] : errands_)
      if (candidate.due && *candidate.due <= clock_.steady_now() &&
          (errand == nullptr || *candidate.due < *errand->due))
        errand = &candidate;
    if (errand == nullptr) return next_due();
    errand->due.reset();
    generation = generation_;
  }
  const ErrandResult result = errand->work(stop);  // entries are never removed, so the pointer stays good

  const std::lock_guard lock(mutex_);
  if (generation != generation_) return next_due();
  std::optional<SteadyTime> again;
  switch (result.kind) {
    case ErrandResult::Kind::done: errand->backoff.reset(); break;
    case ErrandResult::Kind::at:
      errand->backoff.reset();
      again = result.at;
      break;
    case ErrandResult::Kind::retry: {
      Milliseconds delay = errand->backoff.next(random_);
      if (result.retry_after) delay = std::max<Milliseconds>(delay, *result.retry_after);
      again = clock_.steady_now() + delay;
      break;
    }
  }
  if (again && (!errand->due || *again < *errand->due)) errand->due = again;
  return next_due();
}

}  // namespace ee::agent
