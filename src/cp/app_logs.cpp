// Composition of logs: what is kept of the own one, what is asked of agents, followers and exports.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/redact.h"
#include "cp/app_parts.h"
#include "cp/program_version.h"
#include "cp/service/settings_api.h"
#include "net/curl_http_streams.h"

namespace ee::cp {
namespace {

constexpr std::size_t kLogFollowers = 20;
constexpr std::size_t kContainerFollowers = 200;
constexpr std::size_t kExports = 2;
constexpr Seconds kLongestFollow{4 * 3600};

Result<std::vector<std::string>> job_objects(App::Parts& parts) {
  const auto jobs = parts.job_admin->list();
  if (!jobs) return std::unexpected(jobs.error());
  std::vector<std::string> out;
  for (JobView job : jobs->items) {
    if (job.last_error) job.last_error = scrub(*job.last_error);
    // A line of an export has a `kind` of its own.
    auto value = json::parse(json::write(job)).value_or(boost::json::object());
    boost::json::object& object = value.as_object();
    object["schedule"] = object["kind"];
    object.erase("kind");
    out.push_back(boost::json::serialize(object));
  }
  return out;
}

/// A secret says only whether there is one.
Result<std::vector<std::string>> setting_objects(App::Parts& parts) {
  auto settings = parts.settings->list("", "");
  if (!settings) return std::unexpected(settings.error());
  std::vector<std::string> out;
  for (SettingView& setting : *settings) {
    if (setting.is_secret) {
      setting.value = setting.is_set ? boost::json::value("***") : boost::json::value(nullptr);
      setting.fingerprint.reset();
    }
    out.push_back(json::write(setting));
  }
  return out;
}

void add_metrics(App::Parts& parts) {
  const auto bytes = parts.metrics.gauge("ee_log_buffer_bytes", "Kept log records, in bytes.");
  const auto dropped = parts.metrics.gauge("ee_log_buffer_dropped", "Log records that are no longer kept.");
  const auto followers = parts.metrics.gauge("ee_log_followers", "Event streams that are open.",
                                             {{.name = "stream", .values = {"control_plane", "deployments"}}});
  const auto exports = parts.metrics.gauge("ee_log_exports_running", "Exports under way.");
  parts.metrics.on_collect([bytes, dropped, followers, exports, &parts] {
    bytes.set(static_cast<double>(parts.logs->size_bytes()));
    dropped.set(static_cast<double>(parts.logs->dropped()));
    followers.with({"control_plane"}).set(static_cast<double>(parts.log_streams->size()));
    followers.with({"deployments"}).set(static_cast<double>(parts.container_streams->size()));
    exports.set(static_cast<double>(parts.export_streams->running() + parts.tenant_exports->running()));
  });
}

}  // namespace

void build_logs(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.logs =
      world.logs ? world.logs : std::make_shared<LogBuffer>(static_cast<std::size_t>(parts.config.log_buffer_lines));
  if (world.streams == nullptr) parts.agent_streams = std::make_unique<net::CurlHttpStreams>();
  parts.container_logs = std::make_unique<ContainerLogs>(ContainerLogs::Parts{.database = *parts.database,
                                                                              .deployments = *parts.deployments,
                                                                              .services = *parts.services,
                                                                              .client = *parts.agent_client});
  parts.log_export =
      std::make_unique<LogExport>(LogExport::Parts{.database = *parts.database,
                                                   .buffer = *parts.logs,
                                                   .containers = *parts.container_logs,
                                                   .agents = *parts.agents,
                                                   .jobs = [&parts] { return job_objects(parts); },
                                                   .settings = [&parts] { return setting_objects(parts); },
                                                   .clock = world.clock,
                                                   .random = world.random,
                                                   .replica = parts.boot_id,
                                                   .version = std::string(kProgramVersion)});
  parts.log_streams = std::make_unique<EventStreams>(
      world.clock, EventStreams::Limits{.total = kLogFollowers, .longest = kLongestFollow});
  parts.logs->listen(parts.log_streams->waker());
  parts.container_streams = std::make_unique<EventStreams>(
      world.clock, EventStreams::Limits{.total = kContainerFollowers, .longest = kLongestFollow});
  parts.export_streams = std::make_unique<ExportStreams>(world.clock, kExports, LogExport::kLongest);
  parts.tenant_exports = std::make_unique<ExportStreams>(world.clock, kExports, LogExport::kLongest);
  add_metrics(parts);
}

}  // namespace ee::cp
