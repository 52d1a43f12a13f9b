#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cp/service/attestation_trail.h"

namespace ee::cp {

/// Refusals of requests that were no evidence at all, on their way into `attestation_audit`: garbage must cost its
/// sender's address more than it costs the control plane, so their rows are written behind the answers, many to a
/// transaction. A crash may lose those of the last moment; refusals of anything that answered a challenge never come
/// here. Bounded. Thread-safe; `add` does not block.
class LateRefusals {
 public:
  static constexpr std::size_t kMaxWaiting = 4096;
  static constexpr std::size_t kRowsAtOnce = 256;  ///< of one transaction

  /// `trail` and the database outlive this.
  LateRefusals(const AttestationTrail& trail, db::Database& database) : trail_(trail), database_(database) {}
  /// Writes what waits.
  ~LateRefusals();
  LateRefusals(const LateRefusals&) = delete;
  LateRefusals& operator=(const LateRefusals&) = delete;

  struct Item {
    AttestationAttempt attempt;
    AttestationEvent event;
    ErrorCode reason;
    Milliseconds took{};
    UtcTime at = {};
    std::optional<std::int64_t> folded = {};  ///< as AttestationTrail::Refusal has it
  };
  /// False when too many wait: the caller records it itself, and waits for that.
  bool add(Item item);
  /// Returns when all that was added before is written (or went to the log).
  void settle();

 private:
  void run();
  void write(const std::vector<Item>& batch) const;

  const AttestationTrail& trail_;
  db::Database& database_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable settled_;
  std::deque<Item> waiting_;
  std::uint64_t added_ = 0;
  std::uint64_t written_ = 0;
  std::size_t settling_ = 0;
  bool stopping_ = false;
  std::thread thread_;  ///< from the first item on
};

}  // namespace ee::cp
