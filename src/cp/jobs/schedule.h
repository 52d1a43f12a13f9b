#pragma once
#include "common/random.h"
#include "common/time.h"

namespace ee::cp {

/// The waits between runs (05 section 4.1). Pure but for the random numbers.

/// Of a process that has just started: uniform in 0 to the smaller of `period` and 30 s.
Milliseconds first_delay(Milliseconds period, Random& random);
/// After a run: `period` and up to 10 % more or less.
Milliseconds next_delay(Milliseconds period, Random& random);
/// After the n-th failure in a row: `period` doubled n-1 times, at most the larger of `period` and 900 s; 10 % more or
/// less.
Milliseconds retry_delay(Milliseconds period, std::int64_t failures, Random& random);

}  // namespace ee::cp
