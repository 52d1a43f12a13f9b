#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "common/clock.h"
#include "common/error.h"
#include "cp/service/settings.h"

namespace ee::cp {

/// Holds the snapshot and decides when it is read anew, on a thread of its own. Thread-safe.
class SettingsCache {
 public:
  using Read = std::function<Result<SettingsPtr>()>;
  /// `read` runs on the cache's thread; `replaced` after each snapshot that took another's place, `failed` after each
  /// reload that did not work.
  SettingsCache(SettingsPtr first, Milliseconds ttl, Clock& clock, Read read,
                std::function<void(const SettingsSnapshot&)> replaced, std::function<void(const Error&)> failed);
  SettingsCache(const SettingsCache&) = delete;
  SettingsCache& operator=(const SettingsCache&) = delete;
  ~SettingsCache();

  SettingsPtr get();
  /// Without a look at its age.
  SettingsPtr current() const {
    const std::lock_guard lock(current_mutex_);
    return current_;
  }
  /// Reads now, on this thread. Until it has worked once nothing is reloaded.
  Result<void> load();
  /// Reads anew on the cache's thread, whatever the age: somebody said that there is something new. After a failure the
  /// TTL decides again.
  void refresh();
  /// Takes a snapshot that this process has just written, unless a later one is there.
  void replace(const SettingsPtr& fresh);
  Milliseconds failing_for() const;
  void settle();

 private:
  void run(const std::stop_token& stop);
  void attempt();
  void wait_for_reload();

  const Milliseconds ttl_;
  Clock& clock_;
  const Read read_;
  const std::function<void(const SettingsSnapshot&)> replaced_;
  const std::function<void(const Error&)> failed_;

  // A mutex that is held for the copy of a pointer, and not std::atomic<std::shared_ptr>: GCC 12's lets a reader's
  // access go unordered with the next writer's (its load unlocks with relaxed order), which ThreadSanitizer reports.
  mutable std::mutex current_mutex_;
  SettingsPtr current_;
  std::atomic<SteadyTime> last_attempt_{SteadyTime::max()};  // max: not loaded yet
  std::atomic<SteadyTime> last_success_{SteadyTime::max()};
  std::atomic<bool> wanted_ = false;  // a reload was asked for and has not ended

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t attempts_ = 0;
  std::uint64_t refreshes_ = 0;  // asked for
  std::optional<SteadyTime> failing_since_;
  std::mutex replace_mutex_;  // one snapshot takes another's place at a time, so that listeners see them in order
  std::jthread thread_;
};

}  // namespace ee::cp
