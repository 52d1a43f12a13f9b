#pragma once
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "common/secret.h"

namespace ee::agent {

/// Values that must not appear in what the agent logs or reports: the secrets of workloads. An engine may quote what it
/// was sent in its messages. Values shorter than 8 bytes say nothing, and masking them would hide half of a message.
/// Thread-safe.
class SecretMask {
 public:
  static constexpr std::size_t kShortest = 8;
  /// Those of a deployment and of the one that follows it; beyond, the oldest go.
  static constexpr std::size_t kMost = 256;

  void add(const Secret& value);
  /// Nothing runs any more.
  void clear();
  /// `text` with each value replaced by `***`, also where it stands escaped as in JSON.
  std::string mask(std::string text) const;

 private:
  mutable std::mutex mutex_;
  std::deque<Secret> values_;
};

}  // namespace ee::agent
