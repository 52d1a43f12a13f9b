// Composition of the app catalogue.
#include "cp/app_catalogue.h"

#include <cstdlib>

#include "cp/app_parts.h"
#include "cp/catalogue_views.h"

namespace ee::cp {
namespace {

constexpr net::RateRule kPublishes = {.count = 20, .period = Seconds(60), .burst = 20};

std::string environment_or(const char* name, const char* fallback) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets it
  return value != nullptr && *value != '\0' ? value : fallback;
}

}  // namespace

Catalogue::Catalogue(App::Parts& parts)
    : registries_(parts.outbound.of("registry"), parts.world.clock, parts.world.random),
      cosign_({.launcher = launcher_,
               .clock = parts.world.clock,
               .path = environment_or("PATH", "/usr/local/bin:/usr/bin:/bin"),
               .ssl_cert_file = environment_or("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")}),
      measurer_({.registries = registries_,
                 .cosign = cosign_,
                 .clock = parts.world.clock,
                 .settings = [&parts] { return views::measuring(parts.snapshot()->resolved().values); },
                 .metrics = parts.metrics}),
      tokens_(parts.config.secrets_key.value_or(Secret())),
      publishes_(kPublishes, parts.world.clock),
      apps_({.database = *parts.database, .clock = parts.world.clock, .random = parts.world.random}),
      versions_({.database = *parts.database,
                 .clock = parts.world.clock,
                 .random = parts.world.random,
                 .settings = [&parts] { return views::publishing(parts.snapshot()->resolved().values); },
                 .admit_publish = [this](const std::string& app_id) -> Result<void> {
                   const auto taken = publishes_.take(app_id);
                   if (taken.allowed) return {};
                   return fail(Error{.code = ErrorCode::rate_limited, .retry_after = taken.retry_after});
                 },
                 .wake_measuring =
                     [&parts] {
                       if (parts.jobs) parts.jobs->wake("measurement_worker");
                     }}),
      measuring_({.database = *parts.database,
                  .measurer = measurer_,
                  .http = parts.outbound.of("measurer"),
                  .clock = *parts.shared_clock,
                  .random = parts.world.random,
                  .tokens = tokens_,
                  .metrics = parts.metrics,
                  .replica = parts.boot_id,
                  .settings =
                      [&parts] {
                        return views::measure_queue(parts.snapshot()->resolved().values, parts.config.public_url);
                      }}),
      shares_({.database = *parts.database, .clock = parts.world.clock, .random = parts.world.random}),
      routes_{
          .apps = apps_, .versions = versions_, .measuring = measuring_, .shares = shares_, .cursors = *parts.cursors} {
}

void Catalogue::add_routes(std::vector<Route>& table) {
  add_app_routes(table, routes_);
  add_version_routes(table, routes_);
  add_share_routes(table, routes_);
}

void Catalogue::add_jobs(std::vector<JobDefinition>& jobs) {
  // On a thread of its own: measuring waits for registries.
  jobs.push_back({.name = "measurement_worker",
                  .kind = JobKind::local,
                  .period = every(Seconds(2)),
                  .timeout = Seconds(600),
                  .run = [this](const JobContext& context) { return measuring_.run(context.stop); },
                  .own_thread = true});
  jobs.push_back({.name = "measurement_reaper",
                  .kind = JobKind::singleton,
                  .period = every(Seconds(30)),
                  .timeout = Seconds(30),
                  .run = [this](const JobContext& context) { return measuring_.reap(context.stop); }});
}

}  // namespace ee::cp
