#pragma once
#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/time.h"

namespace ee::cp {

/// Counts bad credentials by client address, in memory: a bucket of `burst` that refills one each `refill`. Only
/// failures take from it. At most `max_keys` addresses; beyond, the one that failed longest ago is forgotten.
/// Thread-safe.
class FailureThrottle {
 public:
  FailureThrottle(std::int64_t burst, Milliseconds refill, std::size_t max_keys)
      : burst_(burst), refill_(refill), max_keys_(max_keys) {}

  /// How long until another credential of this address is looked at; nothing when it is looked at now.
  std::optional<Seconds> blocked(std::string_view key, SteadyTime now) const;
  void failed(std::string_view key, SteadyTime now);
  std::size_t size() const;

 private:
  // The bucket as one number (generic cell rate algorithm, ITU-T I.371): when it is full again. In the past: full.
  struct Entry {
    std::string key;
    SteadyTime full_at;
  };
  const std::int64_t burst_;
  const Milliseconds refill_;
  const std::size_t max_keys_;
  mutable std::mutex mutex_;
  std::list<Entry> by_use_;                                                  ///< the latest first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;  ///< views into the entries
};

}  // namespace ee::cp
