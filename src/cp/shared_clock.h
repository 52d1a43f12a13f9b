#pragma once
#include <utility>

#include "common/clock.h"
#include "db/served_database.h"

namespace ee::cp {

/// The time that replicas have in common: this machine's clock, put right by what the database's differs from it.
/// Leases are taken, renewed and judged by it, so that a machine whose clock is wrong neither keeps what is another's
/// nor takes it away. Its monotonic side is the machine's own.
class SharedClock final : public Clock {
 public:
  /// Both must outlive it.
  SharedClock(Clock& local, const db::ServedDatabase& database) : local_(local), database_(database) {}
  UtcTime now() const override { return local_.now() + database_.clock_offset(); }
  SteadyTime steady_now() const override { return local_.steady_now(); }
  bool sleep_until(SteadyTime deadline, std::stop_token stop) override {
    return local_.sleep_until(deadline, std::move(stop));
  }
  bool await_deadline(SteadyTime deadline, std::stop_token stop) override {
    return local_.await_deadline(deadline, std::move(stop));
  }

 private:
  Clock& local_;
  const db::ServedDatabase& database_;
};

}  // namespace ee::cp
