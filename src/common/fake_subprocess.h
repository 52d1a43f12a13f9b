#pragma once
#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "common/subprocess.h"

namespace ee {

/// Children that do what the test says. The test and the code under test share each child's state. Thread-safe.
class FakeSubprocessLauncher final : public SubprocessLauncher {
 public:
  struct Child {
    SubprocessSpec spec;
    std::optional<ExitStatus> ended = {};
    std::vector<SubprocessSignal> signals = {};
    bool ignores_terminate = false;
    bool destroyed = false;
  };

  Result<std::unique_ptr<Subprocess>> start(const SubprocessSpec& spec) override {
    const std::lock_guard lock(mutex_);
    if (failing_) return fail(ErrorCode::internal_error, "cannot start: no such file");
    auto child = std::make_shared<Child>();
    child->spec = spec;
    child->ignores_terminate = ignore_terminate_;
    children_.push_back(child);
    return std::make_unique<FakeSubprocess>(*this, child);
  }

  void set_failing(bool on) {
    const std::lock_guard lock(mutex_);
    failing_ = on;
  }
  void set_ignore_terminate(bool on) {
    const std::lock_guard lock(mutex_);
    ignore_terminate_ = on;
  }
  /// Ends the newest child by itself.
  void end_newest(int code) {
    const std::lock_guard lock(mutex_);
    if (!children_.empty() && !children_.back()->ended)
      children_.back()->ended = ExitStatus{.code = code, .signal = {}};
  }
  std::size_t started() const {
    const std::lock_guard lock(mutex_);
    return children_.size();
  }
  std::size_t running() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count_if(children_, [](const auto& c) { return !c->ended; }));
  }
  /// A copy of the child that was started as number `index`.
  Child child(std::size_t index) const {
    const std::lock_guard lock(mutex_);
    return *children_.at(index);
  }

 private:
  class FakeSubprocess final : public Subprocess {
   public:
    FakeSubprocess(FakeSubprocessLauncher& owner, std::shared_ptr<Child> child)
        : owner_(owner), child_(std::move(child)) {}
    ~FakeSubprocess() override {
      const std::lock_guard lock(owner_.mutex_);
      if (!child_->ended) child_->ended = ExitStatus{.code = {}, .signal = 9};
      child_->destroyed = true;
    }
    std::optional<ExitStatus> poll() override {
      const std::lock_guard lock(owner_.mutex_);
      return child_->ended;
    }
    void send(SubprocessSignal signal) override {
      const std::lock_guard lock(owner_.mutex_);
      if (child_->ended) return;
      child_->signals.push_back(signal);
      if (signal == SubprocessSignal::kill) child_->ended = ExitStatus{.code = {}, .signal = 9};
      if (signal == SubprocessSignal::terminate && !child_->ignores_terminate)
        child_->ended = ExitStatus{.code = 0, .signal = {}};
    }

   private:
    FakeSubprocessLauncher& owner_;
    std::shared_ptr<Child> child_;
  };

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Child>> children_;
  bool failing_ = false;
  bool ignore_terminate_ = false;
};

}  // namespace ee
