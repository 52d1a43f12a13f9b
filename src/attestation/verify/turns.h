#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

namespace ee::attestation {

/// Lets one thread at a time work on a name; the others wait for it. Thread-safe.
class Turns {
 public:
  /// Ends the turn when it goes. Must not outlive its Turns.
  class Turn {
   public:
    Turn(Turns& turns, std::string name) : turns_(&turns), name_(std::move(name)) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), name_(std::move(other.name_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->end(name_);
    }

   private:
    Turns* turns_;
    std::string name_;
  };

  /// Waits until nobody else has the name; nothing when `stop` is requested before.
  std::optional<Turn> take(const std::string& name, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    if (!ended_.wait(lock, std::move(stop), [&] { return !taken_.contains(name); })) return std::nullopt;
    taken_.insert(name);
    return Turn(*this, name);
  }

 private:
  void end(const std::string& name) {
    {
      const std::lock_guard lock(mutex_);
      taken_.erase(name);
    }
    ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::set<std::string> taken_;
};

}  // namespace ee::attestation
