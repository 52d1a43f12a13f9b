#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/backoff.h"
#include "agent/waker.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// What came of an errand: `done`, or again after the errand's back-off, or at a time that it names itself.
struct ErrandResult {
  enum class Kind : std::uint8_t { done, retry, at } kind = Kind::done;
  std::optional<Seconds> retry_after = {};  ///< retry: at least this long
  SteadyTime at = {};

  static ErrandResult done() { return {}; }
  static ErrandResult retry(std::optional<Seconds> after = {}) { return {.kind = Kind::retry, .retry_after = after}; }
  static ErrandResult again_at(SteadyTime at) { return {.kind = Kind::at, .retry_after = {}, .at = at}; }
};

/// Does named pieces of work at their time, one after the other, on one thread. An errand that is asked for twice is
/// done once, at the earlier time; one that fails is tried again with back-off until it is done or cancelled.
class ErrandRunner {
 public:
  using Work = std::function<ErrandResult(const std::stop_token&)>;

  /// Both references outlive the runner.
  ErrandRunner(Clock& clock, Random& random) : clock_(clock), random_(random) {}

  /// Before `run` only.
  void add(std::string name, Backoff backoff, Work work);

  /// Thread-safe. Requires a name that was added.
  void request(const std::string& name, SteadyTime at);
  /// Forgets all requests, also the retries of the errand under way. Thread-safe.
  void cancel_all();
  /// When the errand is due; nothing when it is not asked for. Thread-safe.
  std::optional<SteadyTime> due(const std::string& name) const;

  void run(const std::stop_token& stop);
  /// Does the one errand that is due longest, if any; when the next one is. For `run` and tests.
  SteadyTime step(const std::stop_token& stop);

 private:
  struct Errand {
    Work work;
    Backoff backoff;
    std::optional<SteadyTime> due = {};
  };
  SteadyTime next_due() const;  // mutex_ held

  Clock& clock_;
  Random& random_;
  Waker waker_;
  mutable std::mutex mutex_;
  std::map<std::string, Errand> errands_;
  std::uint64_t generation_ = 0;  // raised by cancel_all
};

}  // namespace ee::agent
