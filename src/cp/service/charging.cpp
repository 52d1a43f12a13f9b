#include "cp/service/charging.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/json.h"
#include "common/log.h"
#include "common/redact.h"
#include "cp/domain/price.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/billing_meta_store.h"
#include "cp/store/ledger_query_store.h"
#include "cp/store/segment_store.h"

namespace ee::cp {

namespace {

constexpr const char* kActor = "system:hourly_charging";
constexpr Milliseconds kBatchShort{25};
constexpr Milliseconds kBatchLong{100};
constexpr std::array kRetryAfter = {Milliseconds(100), Milliseconds(400), Milliseconds(1600)};

struct FailedDetail {
  std::string deployment_id;
  std::string account_id;
  UtcTime hour_start_at;
};
BOOST_DESCRIBE_STRUCT(FailedDetail, (), (deployment_id, account_id, hour_start_at))

struct RetriedDetail {
  std::int64_t hours = 0;
  UsdMicros amount;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(RetriedDetail, (), (hours, amount, reason))

struct LeapDetail {
  std::int64_t ahead_seconds = 0;
  UtcTime believed_at;
};
BOOST_DESCRIBE_STRUCT(LeapDetail, (), (ahead_seconds, believed_at))

/// The database's own trouble: it may pass.
bool is_transient(ErrorCode code) {
  return code == ErrorCode::database_unavailable || code == ErrorCode::database_timeout ||
         code == ErrorCode::overloaded;
}

/// Nothing that a single segment brings about.
bool ends_pass(ErrorCode code) {
  return is_transient(code) || code == ErrorCode::concurrent_update || code == ErrorCode::billing_halted;
}

}  // namespace

struct Charging::Pass {
  const Fence& fence;
  const std::stop_token& stop;
  BillingSettings settings;
  std::int64_t hours = 0;
  std::int64_t waived = 0;
  std::int64_t rows = 0;
  std::int64_t set_aside = 0;
  bool was_waived = false;      // the hour that just ended
  std::int64_t batch_rows = 0;  // of the last batch
};

Charging::Charging(Parts parts)
    : parts_(std::move(parts)),
      batch_({.shares = parts_.shares,
              .clock = parts_.clock,
              .random = parts_.random,
              .before_step = parts_.before_step}) {}

Result<JobSummary> Charging::run(const Fence& fence, const std::stop_token& stop) {
  const std::unique_lock lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) return fail(ErrorCode::job_running);
  Pass pass{.fence = fence, .stop = stop, .settings = parts_.settings()};
  JobSummary summary;
  std::optional<Error> failed;
  while (pass.hours < pass.settings.max_hours_per_tick) {
    if (auto looked = hold_if_clock_leapt(); !looked) {
      failed = looked.error();
      break;
    }
    const auto meta =
        parts_.database.read<std::optional<BillingMeta>>([](db::Transaction& tx) { return ChargeStore().meta(tx); });
    if (!meta) {
      failed = meta.error();
      break;
    }
    if (!*meta) break;
    parts_.metrics.next_hour((*meta)->next_hour_at);
    if ((*meta)->halted) {
      summary.notes.emplace_back("billing_halted");
      break;
    }
    const UtcTime hour_at = (*meta)->next_hour_at;
    if (hour_at + kHour + pass.settings.settle_delay > parts_.clock.now()) break;
    const SteadyTime begun = parts_.clock.steady_now();
    const auto done = hour(pass, hour_at);
    if (!done) {
      failed = done.error();
      break;
    }
    if (*done == Batch::more) {
      summary.stopped = true;
      break;
    }
    if (*done == Batch::halted) continue;  // the row says so
    ++pass.hours;
    if (pass.was_waived) ++pass.waived;
    parts_.metrics.next_hour(hour_at + kHour);
    parts_.metrics.hour_took(std::chrono::duration_cast<Milliseconds>(parts_.clock.steady_now() - begun));
  }
  count_failed();
  if (failed) return std::unexpected(std::move(*failed));
  summary.count("hours", pass.hours);
  summary.count("waived", pass.waived);
  summary.count("rows", pass.rows);
  summary.count("set_aside", pass.set_aside);
  return summary;
}

/// Batches until the hour is done. `more`: the stop token fired. A batch that fails for a reason of its rows is halved
/// until the row is alone; that one is set aside.
Result<Charging::Batch> Charging::hour(Pass& pass, UtcTime hour) {
  const BillingSettings& settings = pass.settings;
  std::int64_t wanted = settings.batch_rows;
  std::int64_t rows = wanted;
  for (bool first = true;; first = false) {
    if (pass.stop.stop_requested()) return Batch::more;
    if (!first && !pause(kPause, pass.stop)) return Batch::more;
    const SteadyTime begun = parts_.clock.steady_now();
    const auto outcome = batch_with_retries(pass, hour, rows);
    if (!outcome) {
      if (ends_pass(outcome.error().code)) return outcome;
      if (rows > 1) {
        rows /= 2;
        continue;
      }
      const auto aside = set_first_aside(pass, hour, outcome.error());
      if (!aside) return std::unexpected(aside.error());
      if (!*aside) return outcome;
      if (++pass.set_aside >= kSetAsideMax) {
        log::error("billing", "too many segments cannot be charged; billing is halted", {{"hour", to_rfc3339(hour)}});
        if (auto halted = halt("charging_failed", slug(outcome.error().code), "{}"); !halted)
          return std::unexpected(std::move(halted.error()));
        return outcome;
      }
      continue;
    }
    if (*outcome != Batch::more) return outcome;
    const auto took = std::chrono::duration_cast<Milliseconds>(parts_.clock.steady_now() - begun);
    if (rows >= wanted && took > kBatchLong) wanted = std::max(settings.batch_rows_min, wanted / 2);
    if (rows >= wanted && took < kBatchShort) wanted = std::min(settings.batch_rows_max, wanted * 2);
    rows = std::min(wanted, rows * 2);
  }
}

Result<void> Charging::hold_if_clock_leapt() {
  if (!parts_.look_at_clock) return {};
  const auto leap = parts_.look_at_clock();
  if (!leap) return std::unexpected(leap.error());
  const auto ahead = std::chrono::duration_cast<Seconds>(leap->ahead);
  parts_.metrics.clock_ahead(ahead);
  if (!leap->lasting) return {};
  const LeapDetail detail{.ahead_seconds = ahead.count(), .believed_at = parts_.clock.now()};
  return halt(kClockLeaptReason, kClockLeaptReason, json::write(detail));
}

/// Until an administrator has looked: hours would be charged that never were, or, with faults of so many segments, the
/// next pass would set more of them aside. Says nothing when billing is halted already.
Result<void> Charging::halt(std::string_view reason, std::string_view why, const std::string& detail) {
  const auto already =
      parts_.database.read<bool>([](db::Transaction& tx) -> Result<bool> { return BillingMetaStore().halted(tx); });
  if (!already) return std::unexpected(already.error());
  if (*already) return {};
  log::error("billing", "billing is halted", {{"reason", reason}, {"why", why}});
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const UtcTime now = parts_.clock.now();
    const auto halted = BillingMetaStore().halt(tx, reason, now);
    if (!halted) return std::unexpected(halted.error());
    if (!*halted) return {};
    const auto noted = AuditLogStore().append(tx,
                                              {.actor = kActor,
                                               .action = "billing_halted",
                                               .object_type = "billing",
                                               .result = AuditResult::failed,
                                               .reason_code = std::string(why),
                                               .detail = detail},
                                              now, parts_.random);
    if (!noted) return std::unexpected(noted.error());
    return {};
  });
}

Result<Charging::Batch> Charging::batch_with_retries(Pass& pass, UtcTime hour, std::int64_t rows) {
  for (std::size_t retries = 0;; ++retries) {
    // What a batch counts is added only when it is committed.
    Pass attempt = pass;
    auto outcome =
        parts_.database.write<Batch>([&](db::Transaction& tx) { return this->batch(tx, attempt, hour, rows); });
    if (outcome) {
      parts_.metrics.charged(attempt.rows - pass.rows);
      pass.rows = attempt.rows;
      pass.was_waived = attempt.was_waived;
      return outcome;
    }
    if (!is_transient(outcome.error().code) || retries == kRetryAfter.size()) return outcome;
    log::warn("billing", "a batch is tried again", {{"code", slug(outcome.error().code)}});
    if (!pause(kRetryAfter[retries], pass.stop)) return outcome;
  }
}

Result<Charging::Batch> Charging::batch(db::Transaction& tx, Pass& pass, UtcTime hour, std::int64_t rows) const {
  const ChargeStore store;
  if (pass.fence)
    if (auto held = pass.fence(tx); !held) return std::unexpected(held.error());
  const auto meta = store.lock_meta(tx);
  if (!meta) return std::unexpected(meta.error());
  if (!*meta || (*meta)->next_hour_at != hour) return Batch::moved_on;
  if ((*meta)->halted) return Batch::halted;
  const UtcTime now = parts_.clock.now();
  const auto row = store.lock_hour(tx, hour, pass.settings.enabled ? HourStatus::charging : HourStatus::waived, now);
  if (!row) return std::unexpected(row.error());
  if (row->finished_at) return Batch::moved_on;
  if (auto go_on = batch_.step(ChargeStep::begun); !go_on) return std::unexpected(go_on.error());

  auto upto = store.nth_after(tx, row->cursor(), rows);
  if (!upto) return std::unexpected(upto.error());
  const bool last = !*upto;
  if (last) {
    upto = store.last_after(tx, row->cursor());
    if (!upto) return std::unexpected(upto.error());
  }
  pass.was_waived = row->status == HourStatus::waived;
  if (*upto) {
    ChargeTotals totals;
    const SegmentRange range{.after = row->cursor(), .upto = **upto};
    if (pass.was_waived) {
      if (auto waived = store.waive(tx, range, hour); !waived) return std::unexpected(waived.error());
    } else {
      const auto payee = platform(tx, pass.settings);
      if (!payee) return std::unexpected(payee.error());
      const auto charged = batch_.charge(tx, {.range = range, .hour = hour, .platform = *payee, .actor = kActor});
      if (!charged) return std::unexpected(charged.error());
      totals = *charged;
    }
    if (auto moved = store.move_cursor(tx, hour, **upto, totals.rows, totals.gross_micros); !moved)
      return std::unexpected(moved.error());
    pass.rows += totals.rows;
  }
  if (auto go_on = batch_.step(ChargeStep::cursor_moved); !go_on) return std::unexpected(go_on.error());
  if (!last) return Batch::more;
  if (auto finished = store.finish_hour(tx, hour, now); !finished) return std::unexpected(finished.error());
  if (auto go_on = batch_.step(ChargeStep::finished); !go_on) return std::unexpected(go_on.error());
  return Batch::hour_done;
}

/// The account of the setting while it is active.
Result<AccountId> Charging::platform(db::Transaction& tx, const BillingSettings& settings) const {
  if (!settings.platform_account) return kPlatformAccount;
  const auto payable = LedgerQueryStore().can_be_platform(tx, *settings.platform_account);
  if (!payable) return std::unexpected(payable.error());
  if (*payable) return *settings.platform_account;
  log::error("billing", "billing.platform_account_id names no active account; sys-platform receives its part",
             {{"account_id", settings.platform_account->str()}});
  return kPlatformAccount;
}

Result<bool> Charging::set_first_aside(Pass& pass, UtcTime hour, const Error& why) {
  return parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const ChargeStore store;
    if (pass.fence)
      if (auto held = pass.fence(tx); !held) return std::unexpected(held.error());
    const auto row = store.hour(tx, hour);
    if (!row) return std::unexpected(row.error());
    // The first batch of the hour may be the one that failed: then the hour has no row yet.
    const auto key = store.nth_after(tx, *row ? (*row)->cursor() : SegmentKey{}, 1);
    if (!key) return std::unexpected(key.error());
    if (!*key) return false;
    const auto segment = SegmentStore().get(tx, (*key)->id);
    if (!segment) return std::unexpected(segment.error());
    const auto aside = store.set_aside(tx, (*key)->id);
    if (!aside) return std::unexpected(aside.error());
    if (!*aside || !*segment) return false;
    log::error("billing", "a segment cannot be charged and was set aside",
               {{"segment_id", (*key)->id}, {"code", slug(why.code)}, {"detail", why.detail}});
    const FailedDetail detail{.deployment_id = (*segment)->deployment_id.str(),
                              .account_id = (*segment)->account_id.str(),
                              .hour_start_at = hour};
    const auto noted = AuditLogStore().append(tx,
                                              {.actor = kActor,
                                               .action = "charge_failed",
                                               .object_type = "segment",
                                               .object_id = (*key)->id,
                                               .result = AuditResult::failed,
                                               .reason_code = std::string(slug(why.code)),
                                               .detail = json::write(detail)},
                                              parts_.clock.now(), parts_.random);
    if (!noted) return std::unexpected(noted.error());
    return true;
  });
}

Result<Charging::Retried> Charging::retry(const std::string& segment_id, const std::string& reason,
                                          const Actor& actor) {
  auto done =
      parts_.database.write<Retried>([&](db::Transaction& tx) { return retry_in(tx, segment_id, reason, actor); });
  if (!done && !is_transient(done.error().code) && done.error().code != ErrorCode::billing_halted) {
    log::warn("billing", "a segment still cannot be charged",
              {{"segment_id", segment_id}, {"code", slug(done.error().code)}, {"detail", done.error().detail}});
    return fail(ErrorCode::segment_unchargeable, fmt::format("still {}", slug(done.error().code)));
  }
  if (done) count_failed();
  return done;
}

Result<Charging::Retried> Charging::retry_in(db::Transaction& tx, const std::string& segment_id,
                                             const std::string& reason, const Actor& actor) const {
  const ChargeStore store;
  const auto segment = SegmentStore().get(tx, segment_id);
  if (!segment) return std::unexpected(segment.error());
  if (!*segment || (*segment)->settled != 2) return fail(ErrorCode::segment_unchargeable, "not set aside");
  const auto meta = store.lock_meta(tx);
  if (!meta) return std::unexpected(meta.error());
  if (!*meta) return fail(ErrorCode::internal_error, "there is a segment, but no hour");
  if ((*meta)->halted) return fail(ErrorCode::billing_halted);
  if (const auto taken = store.take_back(tx, segment_id); !taken) return std::unexpected(taken.error());
  const auto payee = platform(tx, parts_.settings());
  if (!payee) return std::unexpected(payee.error());

  UtcTime before = (*meta)->next_hour_at;
  const SegmentKey key{.account_id = (*segment)->account_id, .id = segment_id};
  const UtcTime first = hour_of((*segment)->charged_to_at);
  // An hour under way whose cursor has passed the segment will not come back to it.
  const auto current = store.hour(tx, before);
  if (!current) return std::unexpected(current.error());
  if (*current && (*current)->cursor() >= key) before += kHour;
  const auto waived = store.waived_hours(tx, first, before);
  if (!waived) return std::unexpected(waived.error());

  Retried total;
  const SegmentRange alone{.upto = key, .alone = true};
  for (UtcTime hour = first; hour < before; hour += kHour) {
    if (std::ranges::binary_search(*waived, hour)) {
      if (auto done = store.waive(tx, alone, hour); !done) return std::unexpected(done.error());
      continue;
    }
    const auto charged = batch_.charge(tx, {.range = alone, .hour = hour, .platform = *payee, .actor = actor.name});
    if (!charged) return std::unexpected(charged.error());
    if (auto added = store.add_to_hour(tx, hour, charged->rows, charged->gross_micros); !added)
      return std::unexpected(added.error());
    total.hours += charged->rows;
    total.amount.value += charged->gross_micros;
  }
  const auto noted = AuditLogStore().append(
      tx,
      {.actor = actor.name,
       .action = "charge_retried",
       .object_type = "segment",
       .object_id = segment_id,
       .request_id = actor.request_id,
       .client_address = actor.client_address,
       .detail = json::write(RetriedDetail{.hours = total.hours, .amount = total.amount, .reason = scrub(reason)})},
      parts_.clock.now(), parts_.random);
  if (!noted) return std::unexpected(noted.error());
  return total;
}

/// False when the stop token fired. Half more or less than `about`, so that replicas do not move in step; never less
/// than kPause.
bool Charging::pause(Milliseconds about, const std::stop_token& stop) {
  std::array<std::uint8_t, 2> bytes{};
  Milliseconds wait = about;
  if (about > kPause && parts_.random.fill(bytes)) {
    const std::int64_t part = (bytes[0] * 256 + bytes[1]) % 1001;  // 0..1000
    wait = about / 2 + about * part / 1000;
  }
  return parts_.clock.sleep_for(wait, stop);
}

void Charging::count_failed() {
  const auto failed =
      parts_.database.read<std::int64_t>([](db::Transaction& tx) { return SegmentStore().failed_count(tx); });
  if (failed) parts_.metrics.failed_rows(*failed);
}

}  // namespace ee::cp
