#include "cp/service/billing_clock.h"

#include <boost/describe.hpp>
#include <chrono>
#include <cstdint>

#include "common/json.h"
#include "common/log.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {

constexpr std::string_view kAnchorKey = "billing_clock";
/// A clock that goes back by less is left to its own devices: that is not worth a write.
constexpr Seconds kBackNoise{60};

/// What is kept of the moment from which both clocks are compared.
struct KeptAnchor {
  std::string boot;
  UtcTime at;
  std::int64_t steady_ms = 0;
  std::int64_t accepted = 0;
};
BOOST_DESCRIBE_STRUCT(KeptAnchor, (), (boot, at, steady_ms, accepted))

}  // namespace

struct BillingClock::Kept {
  std::optional<KeptAnchor> anchor;
  std::int64_t accepted = 0;
};

BillingClock::BillingClock(Clock& clock, std::string boot) : clock_(clock), boot_(std::move(boot)), anchor_(moment()) {}

UtcTime BillingClock::now() const {
  const Moment here = moment();
  const std::lock_guard lock(mutex_);
  const Milliseconds ahead = here.ahead_of(anchor_);
  return ahead > kTolerance ? here.utc - ahead : here.utc;
}

Result<ClockLeap> BillingClock::look(db::Database& database) {
  const auto kept = read(database);
  if (!kept) return std::unexpected(kept.error());
  std::optional<Moment> moved;
  std::int64_t accepted = 0;
  ClockLeap leap;
  {
    const Moment here = moment();
    const std::lock_guard lock(mutex_);
    if (take_up(*kept, here)) moved = anchor_;
    accepted = accepted_;
    const Milliseconds ahead = here.ahead_of(anchor_);
    if (ahead > kTolerance) {
      if (!leapt_at_) leapt_at_ = here.steady;
      leap = {.ahead = ahead, .lasting = here.steady - *leapt_at_ >= kPatience};
    } else {
      leapt_at_.reset();
    }
  }
  if (moved)
    if (auto done = keep(database, *moved, accepted); !done) return std::unexpected(done.error());
  return leap;
}

bool BillingClock::take_up(const Kept& kept, const Moment& here) {
  bool moved = false;
  if (!looked_) {
    looked_ = true;
    accepted_ = kept.accepted;
    moved = true;
    if (kept.anchor && !boot_.empty() && kept.anchor->boot == boot_ && kept.anchor->accepted == accepted_) {
      const Moment earlier{.utc = kept.anchor->at, .steady = SteadyTime(Milliseconds(kept.anchor->steady_ms))};
      // Of two places from which to compare, the one by which less time has passed.
      const bool usable = earlier.steady <= here.steady && anchor_.ahead_of(earlier) >= Milliseconds(0);
      if (usable) anchor_ = earlier;
      moved = !usable;
    }
  } else if (accepted_ != kept.accepted) {
    accepted_ = kept.accepted;
    anchor_ = here;
    moved = true;
  }
  // What went back may not come forward again unseen.
  if (here.ahead_of(anchor_) < -kBackNoise) {
    anchor_ = here;
    moved = true;
  }
  return moved;
}

Result<BillingClock::Kept> BillingClock::read(db::Database& database) {
  return database.read<Kept>([](db::Transaction& tx) -> Result<Kept> {
    const auto accepted = MetaStore().number(tx, kClockLeapsAcceptedKey);
    if (!accepted) return std::unexpected(accepted.error());
    const auto text = MetaStore().get(tx, kAnchorKey);
    if (!text) return std::unexpected(text.error());
    Kept out{.anchor = {}, .accepted = *accepted};
    if (!*text) return out;
    auto anchor = json::read<KeptAnchor>(**text);
    if (anchor)
      out.anchor = std::move(*anchor);
    else
      log::warn("billing", "what was kept of the clock cannot be read", {{"code", slug(anchor.error().code)}});
    return out;
  });
}

/// One place for all replicas: that of the one whose anchor moved last. The others remember theirs while they run.
Result<void> BillingClock::keep(db::Database& database, const Moment& anchor, std::int64_t accepted) const {
  if (boot_.empty()) return {};
  const auto steady = std::chrono::duration_cast<Milliseconds>(anchor.steady.time_since_epoch());
  const KeptAnchor row{.boot = boot_, .at = anchor.utc, .steady_ms = steady.count(), .accepted = accepted};
  return database.run_write([&](db::Transaction& tx) { return MetaStore().set(tx, kAnchorKey, json::write(row)); });
}

}  // namespace ee::cp
