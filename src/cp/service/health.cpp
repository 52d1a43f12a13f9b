#include "cp/service/health.h"

namespace ee::cp {
namespace {

constexpr Milliseconds kWriteProbeTooOld{30'000};
constexpr Milliseconds kSettingsTooStale{600'000};
constexpr Milliseconds kLoopStuck{10'000};
constexpr Milliseconds kSheddingTooLong{10'000};
constexpr std::int64_t kDiskLowBytes = 256LL * 1024 * 1024;

}  // namespace

bool Health::alive() const { return sources_.writer_alive() && sources_.loop_lag() <= kLoopStuck; }

HealthView Health::health() const {
  const bool database = sources_.writer_alive() && sources_.since_write_probe() <= kWriteProbeTooOld;
  const bool settings = sources_.settings_stale_for() <= kSettingsTooStale;
  const bool jobs = sources_.jobs_ok();
  const bool ledger = sources_.ledger_ok();
  const bool billing = sources_.billing_in_time();
  const bool attestation = !sources_.attestation_on() || sources_.attestation_fresh();
  const bool policy = sources_.policy_valid();
  const bool time = sources_.clock_agrees();
  const bool held = sources_.sweep_held();
  const auto word = [](bool good) { return std::string(good ? "ok" : "degraded"); };
  HealthView view{.status = "ok",
                  .version = identity_.version,
                  .git_sha = identity_.git_sha,
                  .env = identity_.env,
                  .boot_id = identity_.boot_id,
                  .uptime_seconds = std::chrono::duration_cast<Seconds>(clock_.steady_now() - started_).count(),
                  .answered_at = clock_.now(),
                  .checks = {{"database", word(database)},
                             {"settings", word(settings)},
                             {"jobs", word(jobs)},
                             {"ledger", word(ledger)},
                             {"billing", word(billing)},
                             {"attestation", sources_.attestation_on() ? word(attestation) : "off"},
                             {"attestation_policy", word(policy)},
                             {"attestation_sweep", word(!held)},
                             {"clock", word(time)}}};
  if (!(!held && policy && time && database && settings && jobs && ledger && billing && attestation && alive()))
    view.status = "degraded";
  if (draining_) view.status = "draining";
  return view;
}

ReadyView Health::ready() const {
  ReadyView view;
  const auto because = [&](bool condition, const char* reason) {
    if (condition) view.reasons.emplace_back(reason);
  };
  because(!started_up_, "starting");
  because(draining_, "draining");
  because(!sources_.writer_alive() || sources_.since_write_probe() > kWriteProbeTooOld, "database_unavailable");
  because(sources_.settings_stale_for() > kSettingsTooStale, "settings_stale");
  const auto disk_free = sources_.disk_free_bytes();
  because(disk_free && *disk_free < kDiskLowBytes, "disk_low");
  because(sources_.attestation_required && !(sources_.attestation_on() && sources_.attestation_fresh()),
          "attestation_unavailable");
  because(sources_.shedding_for() > kSheddingTooLong, "overloaded");
  view.ready = view.reasons.empty();
  // Said, but no reason to be taken out of service: every agent would lose its control plane, which is what the held
  // sweep is there to prevent.
  because(sources_.sweep_held(), "attestation_sweep_held");
  because(!sources_.policy_valid(), "policy_invalid");
  because(!sources_.clock_agrees(), "clock_differs");
  return view;
}

}  // namespace ee::cp
