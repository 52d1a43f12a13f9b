// The background jobs of the control plane (05 section 4.2), those that this release has.
#include "common/json.h"
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/clock_watch.h"
#include "cp/jobs/billing_jobs.h"
#include "cp/jobs/ledger_jobs.h"
#include "cp/jobs/maintenance_jobs.h"
#include "cp/program_version.h"
#include "cp/service/agent_cleanup_jobs.h"
#include "cp/service/attestation_ages.h"
#include "cp/service/health_sweep.h"
#include "cp/service/tunnel_probe.h"
#include "cp/settings_views.h"
#include "cp/store/api_key_store.h"
#include "cp/store/charge_store.h"
#include "cp/store/meta_store.h"
#include "cp/store/sign_in_leftovers.h"

namespace ee::cp {
namespace {

using namespace std::chrono_literals;

JobDefinition singleton(std::string name, Milliseconds period, Milliseconds timeout, JobFunction run) {
  return {.name = std::move(name),
          .kind = JobKind::singleton,
          .period = every(period),
          .timeout = timeout,
          .run = std::move(run)};
}
JobDefinition local(std::string name, std::function<Milliseconds()> period, Milliseconds timeout, JobFunction run) {
  return {.name = std::move(name),
          .kind = JobKind::local,
          .period = std::move(period),
          .timeout = timeout,
          .run = std::move(run)};
}

/// What is not replaced in a day will refuse every quote of its platforms.
void warn_of_expiring_collateral(App::Parts& parts) {
  const UtcTime now = parts.world.clock.now();
  for (const attestation::CollateralState& state : parts.collateral_cache->states()) {
    if (state.next_update_at - now >= 24h) continue;
    log::warn("attestation", "collateral expires soon",
              {{"key", state.cache_key},
               {"expires_in_seconds", std::chrono::duration_cast<Seconds>(state.next_update_at - now).count()},
               {"last_error", state.last_error ? std::string(slug(*state.last_error)) : std::string()}});
  }
}

void add_agent_jobs(std::vector<JobDefinition>& jobs, App::Parts& parts) {
  const AgentSettingsSource settings = [&parts] { return views::agents(parts.snapshot()->resolved().values); };
  jobs.push_back(local("agent_flush", every(5s), 30s,
                       [&parts](const JobContext& context) { return parts.flusher->flush(context.stop); }));
  jobs.push_back(singleton("agent_health_sweep", 15s, 60s,
                           [sweep = std::make_shared<HealthSweep>(*parts.database, *parts.directory, *parts.live,
                                                                  parts.world.clock, settings)](
                               const JobContext& context) { return sweep->run(context.stop); }));
  jobs.push_back(singleton("agent_attestation_ages", 30s, 60s,
                           [ages = std::make_shared<AttestationAges>(*parts.database, *parts.directory, *parts.live,
                                                                     *parts.agents, parts.world.clock, settings)](
                               const JobContext& context) { return ages->run(context.stop); }));
  jobs.push_back(singleton("agent_stale_cleanup", 600s, 120s,
                           [cleanup = std::make_shared<StaleCleanup>(*parts.database, *parts.directory, *parts.live,
                                                                     *parts.agents, parts.world.clock, settings)](
                               const JobContext& context) { return cleanup->run(context.stop); }));
  jobs.push_back(singleton("tunnel_worker", 5s, 120s,
                           [&parts](const JobContext& context) { return parts.tunnels->run_worker(context.stop); }));
  jobs.push_back(singleton(
      "tunnel_probe", 60s, 55s,
      [probe = std::make_shared<TunnelProbe>(TunnelProbe::Parts{
           .database = *parts.database,
           .directory = *parts.directory,
           .endpoint = *parts.agent_endpoint,
           .http = parts.outbound.of("probe"),
           .clock = parts.world.clock,
           .timeout =
               [&parts] { return Milliseconds(parts.snapshot()->seconds(Setting::agents_health_timeout_seconds)); },
           .observe = [&parts](std::string_view result) { parts.counters->tunnel("probe", result); }})](
          const JobContext& context) { return probe->run(context.stop, context.deadline); }));
  jobs.push_back(singleton("cloudflare_orphan_sweep", 21600s, 600s, [&parts](const JobContext& context) {
    return parts.tunnels->orphans().sweep(context.stop);
  }));
  jobs.push_back(singleton("agent_tombstone_purge", 86400s, 300s, [&parts](const JobContext& context) {
    return purge_tombstones(*parts.database, parts.world.clock, context.stop);
  }));
  jobs.push_back(local("agent_directory", every(1s), 30s,
                       [&parts, passes = std::make_shared<int>(0)](const JobContext&) -> Result<JobSummary> {
                         // Other replicas' changes; every ten minutes all rows, which repairs whatever was missed.
                         const auto changed =
                             ++*passes % 600 == 0 ? parts.directory->reload() : parts.directory->poll();
                         if (!changed) return std::unexpected(changed.error());
                         if (*passes % 10 == 0)
                           if (auto looked = parts.sweeper->look(); !looked) return std::unexpected(looked.error());
                         return JobSummary{};
                       }));
}

void add_attestation_jobs(std::vector<JobDefinition>& jobs, App::Parts& parts) {
  jobs.push_back(singleton("attestation_sweeper", 30s, 60s,
                           [&parts](const JobContext& context) { return parts.sweeper->run(context.stop); }));
  jobs.push_back(local(
      "cp_attestation_refresh",
      [&parts] { return Milliseconds(parts.snapshot()->seconds(Setting::attestation_cp_refresh_seconds)); }, 60s,
      [&parts](const JobContext&) -> Result<JobSummary> {
        if (!parts.own_attestation->available()) return JobSummary{.counts = {}, .notes = {}, .skipped = true};
        if (auto done = parts.own_attestation->refresh(parts.signing_keys_version); !done) {
          parts.dependency_errors.note("tdx", done.error().code);
          return std::unexpected(done.error());
        }
        JobSummary summary;
        summary.count("quotes", 1);
        return summary;
      }));
  jobs.push_back(singleton("collateral_refresh", 600s, 300s, [&parts](const JobContext& context) -> Result<JobSummary> {
    const auto done = parts.collateral_cache->refresh_due(parts.world.clock.now(), 32, context.stop);
    warn_of_expiring_collateral(parts);
    JobSummary summary;
    summary.count("refreshed", done.refreshed);
    summary.count("failed", done.failed);
    return summary;
  }));
  jobs.push_back(local(
      "jwks_refresh",
      [&parts] { return Milliseconds(parts.snapshot()->seconds(Setting::intel_ta_jwks_ttl_seconds)) / 2; }, 30s,
      [&parts](const JobContext& context) -> Result<JobSummary> {
        const auto snapshot = parts.snapshot();
        if (snapshot->text(Setting::attestation_verifier_mode) == "dcap")
          return JobSummary{.counts = {}, .notes = {}, .skipped = true};
        if (auto done = parts.intel_ta->keys().refresh(views::intel_ta(snapshot->resolved().values).keys, context.stop);
            !done) {
          parts.dependency_errors.note("jwks", done.error().code);
          return std::unexpected(done.error());
        }
        JobSummary summary;
        summary.count("fetched", 1);
        return summary;
      }));
}

void add_deployment_jobs(std::vector<JobDefinition>& jobs, App::Parts& parts) {
  // Of its own thread: what it waits for are agents.
  JobDefinition reconciler = local("deployment_reconciler", every(1s), 120s,
                                   [&parts](const JobContext& context) { return parts.reconciler->run(context.stop); });
  reconciler.own_thread = true;
  jobs.push_back(std::move(reconciler));
  // The routes have a thread of their own that looks more often; here an operator sees whether they can be read.
  jobs.push_back(local("route_snapshot", every(1s), 30s, [&parts](const JobContext&) -> Result<JobSummary> {
    if (auto read = parts.routes->refresh(); !read) return std::unexpected(read.error());
    return JobSummary{};
  }));
  struct Pass {
    const char* name;
    Milliseconds period;
    Result<JobSummary> (DeploymentJobs::*run)(const std::stop_token&);
  };
  for (const Pass& pass :
       {Pass{"capacity_waiter", 2s, &DeploymentJobs::capacity_waiter},
        Pass{"agent_loss", 10s, &DeploymentJobs::agent_loss}, Pass{"ttl_expiry", 10s, &DeploymentJobs::ttl_expiry},
        Pass{"replace_finisher", 2s, &DeploymentJobs::replace_finisher},
        Pass{"placement_check", 300s, &DeploymentJobs::placement_check},
        Pass{"deployment_retention", 3600s, &DeploymentJobs::retention}})
    jobs.push_back(singleton(pass.name, pass.period, 60s, [&parts, run = pass.run](const JobContext& context) {
      return (*parts.deployment_jobs.*run)(context.stop);
    }));
}

/// Sessions, keys and what sign-ins leave behind, in batches until none is full: workflows alone may use more tokens
/// between two runs than one batch removes.
Result<std::int64_t> remove_what_has_ended(App::Parts& parts, const std::stop_token& stop) {
  constexpr std::int64_t kAtOnce = 1000;
  std::int64_t total = 0;
  for (bool more = true; more && !stop.stop_requested();) {
    const auto sessions = parts.sessions->clean_up(kAtOnce);
    if (!sessions) return sessions;
    const auto others = parts.database->write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
      const UtcTime now = parts.world.clock.now();
      const auto keys = ApiKeyStore().remove_ended(tx, now, kAtOnce);
      if (!keys) return keys;
      const auto sign_ins = remove_sign_in_leftovers(tx, now, kAtOnce);
      if (!sign_ins) return sign_ins;
      return *keys + *sign_ins;
    });
    if (!others) return others;
    total += *sessions + *others;
    more = *sessions >= kAtOnce || *others >= kAtOnce;
  }
  return total;
}

/// What this process remembers and another one may have changed: whether removals are held after a restore, and whether
/// billing is halted for what a check of the ledger has found.
Result<void> look_at_other_replicas(App::Parts& parts) {
  if (auto hold = parts.restore_hold->load(); !hold) return hold;
  return parts.ledger_check->look();
}

/// What PostgreSQL does by itself, or its operator by its tools.
void add_sqlite_jobs(std::vector<JobDefinition>& jobs, App::Parts& parts) {
  jobs.push_back(wal_checkpoint(*parts.sqlite));
  jobs.push_back(db_backup(
      {.database = parts.sqlite->path(),
       .directory = parts.config.backup_dir.value_or(""),
       .app_version = std::string(kProgramVersion),
       .keep = [&parts] { return parts.snapshot()->integer(Setting::ops_backup_keep); },
       .period = [&parts] { return Milliseconds(parts.snapshot()->seconds(Setting::ops_backup_interval_seconds)); }},
      parts.world.clock));
}

}  // namespace

std::vector<JobDefinition> job_definitions(App::Parts& parts) {
  std::vector<JobDefinition> jobs;
  add_agent_jobs(jobs, parts);
  add_attestation_jobs(jobs, parts);
  add_deployment_jobs(jobs, parts);
  const auto retention = [&parts] { return parts.snapshot()->integer(Setting::ops_audit_retention_days); };
  jobs.push_back(
      local("github_jwks_refresh", every(60s), 30s, [&parts](const JobContext& context) -> Result<JobSummary> {
        const auto fetched = parts.github_oidc->refresh_keys(context.stop);
        if (!fetched) return std::unexpected(fetched.error());
        JobSummary summary;
        summary.skipped = !*fetched;
        summary.count("fetched", *fetched ? 1 : 0);
        return summary;
      }));
  parts.catalogue->add_jobs(jobs);
  jobs.push_back(hourly_charging(*parts.charging));
  jobs.push_back(insufficient_funds(*parts.funds));
  jobs.push_back(usage_rollup(*parts.database, parts.world.clock,
                              [&parts] { return views::billing(parts.snapshot()->resolved().values); }));
  jobs.push_back(singleton("deposit_reconcile", 300s, 280s, [&parts](const JobContext& context) {
    return parts.deposits->reconcile(context.stop, context.deadline);
  }));
  jobs.push_back(nonce_cleanup(*parts.database, parts.world.clock));
  jobs.push_back(idempotency_cleanup(*parts.database, parts.world.clock));
  jobs.push_back(stripe_event_retention(*parts.database, *parts.billing_clock));
  jobs.push_back(audit_retention(*parts.database, parts.world.clock, retention));
  jobs.push_back(attestation_audit_retention(*parts.database, parts.world.clock, retention));
  if (parts.sqlite != nullptr) add_sqlite_jobs(jobs, parts);
  jobs.push_back(db_check(*parts.database, parts.metrics, parts.ledger_check.get()));
  jobs.push_back(ledger_verify(*parts.ledger_check));
  jobs.push_back(local("session_cleanup", every(600s), 60s, [&parts](const JobContext& context) -> Result<JobSummary> {
    const auto removed = remove_what_has_ended(parts, context.stop);
    if (!removed) return std::unexpected(removed.error());
    if (auto ended = parts.github_login->end_sessions_if_removed(); !ended) return std::unexpected(ended.error());
    if (auto ended = parts.sessions->end_if_password_changed(); !ended) return std::unexpected(ended.error());
    JobSummary summary;
    summary.count("removed", *removed);
    return summary;
  }));
  jobs.push_back(local("last_used_flush", every(5s), 30s, [&parts](const JobContext& context) -> Result<JobSummary> {
    // A changed setting counts for what is in the cache already.
    parts.credentials->set_ttl(Milliseconds(parts.snapshot()->integer(Setting::auth_cache_ttl_ms)));
    const auto written = parts.authenticator->flush_last_uses(context.stop);
    if (!written) return std::unexpected(written.error());
    JobSummary summary;
    summary.count("written", *written);
    return summary;
  }));
  // On a thread of its own: were it to wait for jobs that hang outside, `/ready` would blame the database.
  JobDefinition probe = local("write_probe", every(10s), 30s,
                              [&parts, watch = std::make_shared<ClockWatch>(parts.world.clock, parts.metrics)](
                                  const JobContext&) -> Result<JobSummary> {
                                watch->look();
                                watch->compare(parts.database->clock_offset());
                                const auto probed =
                                    parts.database->write<bool>([&](db::Transaction& tx) -> Result<bool> {
                                      if (auto done = MetaStore().probe(tx, parts.world.clock.now()); !done)
                                        return std::unexpected(done.error());
                                      return true;
                                    });
                                if (!probed) return std::unexpected(probed.error());
                                // How far charging is, on every replica, whoever holds its lease.
                                const auto charging = parts.database->read<std::optional<BillingMeta>>(
                                    [](db::Transaction& tx) { return ChargeStore().meta(tx); });
                                if (charging && *charging) parts.billing_metrics->next_hour((*charging)->next_hour_at);
                                if (auto held = parts.charging->hold_if_clock_leapt(); !held)
                                  return std::unexpected(held.error());
                                // Another replica may have begun or ended a maintenance.
                                if (auto looked = parts.maintenance->load(); !looked)
                                  return std::unexpected(looked.error());
                                if (parts.sqlite == nullptr)
                                  if (auto looked = look_at_other_replicas(parts); !looked)
                                    return std::unexpected(looked.error());
                                return JobSummary{};
                              });
  probe.own_thread = true;
  jobs.push_back(std::move(probe));
  return jobs;
}

}  // namespace ee::cp
