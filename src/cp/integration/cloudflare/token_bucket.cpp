#include "cp/integration/cloudflare/token_bucket.h"

#include <algorithm>

namespace ee::cp::cloudflare {
namespace {
constexpr std::int64_t kCall = 1'000'000;
constexpr std::int64_t kPeriodMs = Milliseconds(CallBudget::kPeriod).count();
}  // namespace

void CallBudget::Bucket::refill(std::int64_t calls_per_period, std::int64_t burst, SteadyTime now) {
  const std::int64_t full = burst * kCall;
  if (at == SteadyTime::min()) {
    millionths = full;
    at = now;
    return;
  }
  // Whole milliseconds only, so that nothing is lost between calls; after a period any bucket is full.
  const auto passed = std::chrono::duration_cast<Milliseconds>(now - at);
  if (passed <= Milliseconds(0)) return;
  at += passed;
  const std::int64_t ms = std::min<std::int64_t>(passed.count(), kPeriodMs);
  millionths = std::min(full, millionths + ms * calls_per_period * kCall / kPeriodMs);
}

Milliseconds CallBudget::wait_of(const Bucket& bucket, std::int64_t calls_per_period) {
  const std::int64_t missing = std::max<std::int64_t>(0, kCall - bucket.millionths);
  const std::int64_t per_period = std::max<std::int64_t>(1, calls_per_period) * kCall;
  return Milliseconds((missing * kPeriodMs + per_period - 1) / per_period);
}

std::optional<Milliseconds> CallBudget::take(bool deletion, std::int64_t calls_per_period, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  all_.refill(calls_per_period, kBurst, now);
  deletions_.refill(calls_per_period / 2, kBurst / 2, now);
  Milliseconds wait{0};
  if (all_.millionths < kCall) wait = wait_of(all_, calls_per_period);
  if (deletion && deletions_.millionths < kCall) wait = std::max(wait, wait_of(deletions_, calls_per_period / 2));
  if (wait > Milliseconds(0)) return wait;
  all_.millionths -= kCall;
  if (deletion) deletions_.millionths -= kCall;
  return std::nullopt;
}

std::int64_t CallBudget::remaining(std::int64_t calls_per_period, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  all_.refill(calls_per_period, kBurst, now);
  return all_.millionths / kCall;
}

}  // namespace ee::cp::cloudflare
