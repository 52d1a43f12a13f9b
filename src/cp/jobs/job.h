#pragma once
#include <algorithm>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "common/clock.h"
#include "common/error.h"
#include "cp/service/job_summary.h"
#include "cp/store/job_store.h"

namespace ee::cp {

/// `singleton` jobs run on one replica at a time, by a lease; `local` ones on every replica.
enum class JobKind : std::uint8_t { singleton, local };
BOOST_DESCRIBE_ENUM(JobKind, singleton, local)

/// What a run is given. Polls `stop` between items, honours it within 5 s, and passes `remaining` to every outside
/// call.
struct JobContext {
  std::stop_token stop;
  SteadyTime deadline;
  JobLease lease;  ///< for JobStore::check_fence; of a local job without owner and fence

  /// Time left before the deadline, never negative.
  Milliseconds remaining(const Clock& clock) const {
    return std::max(Milliseconds(0), std::chrono::duration_cast<Milliseconds>(deadline - clock.steady_now()));
  }
};

/// One pass of the work. Safe to repeat after a crash. An exception counts as a failure.
using JobFunction = std::function<Result<JobSummary>(const JobContext&)>;

/// A background job (05 section 4.1). All of them: section 4.2 and app.cpp.
struct JobDefinition {
  std::string name;
  JobKind kind = JobKind::singleton;
  std::function<Milliseconds()> period;  ///< asked before each wait: it may be a setting
  Milliseconds timeout{60000};
  JobFunction run;
  bool own_thread = false;  ///< never waits for a free thread of the pool
};

/// A period that never changes.
inline std::function<Milliseconds()> every(Milliseconds period) {
  return [period] { return period; };
}

}  // namespace ee::cp
