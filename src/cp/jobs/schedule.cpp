#include "cp/jobs/schedule.h"

#include <algorithm>

namespace ee::cp {

namespace {
constexpr Milliseconds kFirstMax{30000};
constexpr Milliseconds kRetryMax{900000};

Milliseconds jittered(Milliseconds delay, Random& random) {
  return Milliseconds(random.between(delay.count() - delay.count() / 10, delay.count() + delay.count() / 10));
}
}  // namespace

Milliseconds first_delay(Milliseconds period, Random& random) {
  return Milliseconds(random.between(0, std::min(period, kFirstMax).count()));
}

Milliseconds next_delay(Milliseconds period, Random& random) { return jittered(period, random); }

Milliseconds retry_delay(Milliseconds period, std::int64_t failures, Random& random) {
  const Milliseconds most = std::max(period, kRetryMax);
  Milliseconds delay = period;
  for (std::int64_t i = 1; i < failures && delay < most; ++i) delay *= 2;
  return jittered(std::min(delay, most), random);
}

}  // namespace ee::cp
