#pragma once
#include <memory>
#include <mutex>
#include <string_view>

#include "cp/jobs/job_runner.h"

namespace ee::cp {

/// Lets parts that are built before the job runner, and may outlive it, wake its jobs: while this lives, what is said
/// on its line reaches the runner; before and after that it is dropped. Thread-safe.
class JobWaker {
 public:
  struct Shared {
    std::mutex mutex;
    JobRunner* runner = nullptr;
  };
  using Line = std::shared_ptr<Shared>;
  static Line line() { return std::make_shared<Shared>(); }
  static void wake(const Line& line, std::string_view job) {
    const std::lock_guard lock(line->mutex);
    if (line->runner != nullptr) line->runner->wake(job);
  }

  /// `runner` must outlive this.
  JobWaker(Line line, JobRunner& runner) : line_(std::move(line)) {
    const std::lock_guard lock(line_->mutex);
    line_->runner = &runner;
  }
  JobWaker(const JobWaker&) = delete;
  JobWaker& operator=(const JobWaker&) = delete;
  ~JobWaker() {
    const std::lock_guard lock(line_->mutex);
    line_->runner = nullptr;
  }

 private:
  Line line_;
};

}  // namespace ee::cp
