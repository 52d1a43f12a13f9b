#include "cp/service/version_measuring.h"

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "cp/domain/agent.h"

namespace ee::cp {
namespace {

constexpr std::string_view kComponent = "measurement";
constexpr Seconds kTakeFor{240};  // a pass takes up nothing new after that, so that it ends within the job's time-out
constexpr std::size_t kMaxDetail = 500;

std::vector<std::string> codes_of_results() {
  std::vector<std::string> out = {"ok"};
  for (const ErrorInfo& info : error_table())
    if (info.area == "images") out.emplace_back(info.slug);
  for (const char* more : {"compose_invalid", "compose_forbidden", "policy_invalid"}) out.emplace_back(more);
  return out;
}

/// Whether trying again cannot help. What is neither, such as a database that is away, may pass.
bool is_permanent(ErrorCode code) {
  if (is_transient(code)) return false;
  return error_info(code).area == "images" || code == ErrorCode::compose_invalid ||
         code == ErrorCode::compose_forbidden || code == ErrorCode::policy_invalid;
}

std::string decision_of(const Measurement& measurement) {
  std::string out;
  for (const auto& [service, image] : measurement.images) {
    const std::string fact = !image.signature.verified   ? "unverified"
                             : *image.signature.verified ? "verified"
                                                         : image.signature.error.value_or("signature_missing");
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", json::quote(service), json::quote(fact));
  }
  return "{" + out + "}";
}

}  // namespace

VersionMeasuring::VersionMeasuring(Parts parts)
    : parts_(std::move(parts)),
      results_(parts_.metrics.counter("ee_measurements_total", "Measurements of versions by what came of them.",
                                      {{"result", {"attested", "rejected", "pending"}}, {"code", codes_of_results()}})),
      queue_(parts_.metrics.gauge("ee_measurement_queue", "Versions that wait or are being measured.")),
      seconds_(parts_.metrics.histogram("ee_measurement_seconds", "How long a measurement took.",
                                        {0.1, 0.5, 1, 5, 10, 30, 60, 120, 300})) {}

Result<JobSummary> VersionMeasuring::run(const std::stop_token& stop) {
  const MeasureQueueSettings settings = parts_.settings();
  const SteadyTime take_until = parts_.clock.steady_now() + kTakeFor;
  std::atomic<std::int64_t> measured = 0;
  std::atomic<bool> failed = false;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < settings.concurrency; ++i)
      threads.emplace_back([&] {
        while (!stop.stop_requested() && parts_.clock.steady_now() < take_until) {
          const auto task = take(settings);
          if (!task) failed = true;
          if (!task || !*task) break;
          measure(**task, settings, stop);
          ++measured;
        }
      });
  }
  if (const auto queued =
          parts_.database.read<std::int64_t>([this](db::Transaction& tx) { return versions_.queued(tx); }))
    queue_.set(static_cast<double>(*queued));
  if (failed) return fail(ErrorCode::database_unavailable, "the queue cannot be read");
  JobSummary summary;
  summary.count("measured", measured);
  summary.stopped = stop.stop_requested();
  return summary;
}

Result<std::optional<VersionMeasuring::Task>> VersionMeasuring::take(const MeasureQueueSettings& settings) {
  using Taken = std::optional<Task>;
  // Most of the time there is nothing: that is found out without the writer.
  const auto any = parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto due = versions_.due(tx, parts_.clock.now(), 1);
    if (!due) return std::unexpected(due.error());
    return !due->empty();
  });
  if (!any) return std::unexpected(any.error());
  if (!*any) return Taken();
  return parts_.database.write<Taken>([&](db::Transaction& tx) -> Result<Taken> {
    const UtcTime now = parts_.clock.now();
    const auto due = versions_.due(tx, now, 1);
    if (!due) return std::unexpected(due.error());
    if (due->empty()) return Taken();
    auto leased = versions_.lease(tx, due->front(), parts_.replica, now + settings.lease);
    if (!leased) return std::unexpected(leased.error());
    if (!*leased) return Taken();
    auto app = apps_.find_by_id(tx, (*leased)->app_id);
    if (!app) return std::unexpected(app.error());
    if (!*app) return fail(ErrorCode::internal_error, "a version without its app");
    return Taken(Task{.app = std::move(**app), .version = std::move(**leased)});
  });
}

void VersionMeasuring::measure(const Task& task, const MeasureQueueSettings& settings, const std::stop_token& stop) {
  const SteadyTime begun = parts_.clock.steady_now();
  Result<Measurement> measured = fail(ErrorCode::measurement_unavailable);
  if (settings.external) {
    const auto handed = hand_out(task, settings, stop);
    if (handed) return;  // the report ends the lease, or time does
    measured = std::unexpected(handed.error());
  } else {
    measured = measure_here(task, settings, stop);
  }
  seconds_.observe(std::chrono::duration<double>(parts_.clock.steady_now() - begun).count());
  if (parts_.before_result) parts_.before_result();
  if (const auto status = finish(task, measured, settings); !status)
    log::warn(kComponent, "a result was not written; its lease will run out",
              {{"version_id", task.version.id}, {"code", status.error().code}, {"detail", status.error().detail}});
}

Result<Measurement> VersionMeasuring::measure_here(const Task& task, const MeasureQueueSettings& settings,
                                                   const std::stop_token& stop) {
  const auto policy = policy_of(task.app, settings.signatures);
  if (!policy) return std::unexpected(policy.error());
  std::stop_source ending;
  const std::stop_callback forward(stop, [&ending] { ending.request_stop(); });
  std::jthread renewing([&](const std::stop_token& done) {
    while (parts_.clock.await_deadline(parts_.clock.steady_now() + kRenewEvery, done)) {
      const auto renewed = parts_.database.write<bool>([&](db::Transaction& tx) {
        return versions_.renew(tx, task.version.id, task.version.lease_seq, parts_.clock.now() + settings.lease);
      });
      if (renewed && !*renewed) ending.request_stop();  // somebody else measures it now
    }
  });
  return parts_.measurer.measure_compose(task.version.compose, registry::kPlatform, *policy, task.app.owner_account_id,
                                         ending.get_token());
}

Result<void> VersionMeasuring::hand_out(const Task& task, const MeasureQueueSettings& settings,
                                        const std::stop_token& stop) {
  if (!parts_.tokens.usable() || settings.measurer_url.empty())
    return fail(ErrorCode::measurement_unavailable, "there is no measurer, or no key for its reports");
  const auto policy = policy_of(task.app, settings.signatures);
  if (!policy) return std::unexpected(policy.error());
  const AppVersionRow& version = task.version;
  std::string identities;
  for (const cosign::Identity& identity : policy->rule.identities)
    identities += fmt::format(R"({}{{"text":{},"is_regexp":{}}})", identities.empty() ? "" : ",",
                              json::quote(identity.text), identity.is_regexp);
  std::string base = settings.measurer_url;
  while (base.ends_with('/')) base.pop_back();
  HttpClientRequest request{.method = "POST",
                            .url = base + "/api/measure",
                            .headers = {{"Content-Type", "application/json"}},
                            .connect_timeout = Seconds(5),
                            .total_timeout = Seconds(10),
                            .max_response_bytes = 64UL * 1024,
                            .stop = stop};
  request.body = fmt::format(
      R"({{"version_id":{},"lease_seq":{},"compose":{},"node_size":{},"platform":"{}","policy":{{"signature_mode":"{}","cosign_mode":"{}","issuer":{},"identities":[{}],"public_key":{},"require_tlog":{}}},"callback_url":{},"callback_token":{},"deadline_at":"{}"}})",
      json::quote(version.id), version.lease_seq, json::quote(version.compose), json::quote(version.node_size),
      registry::kPlatform, name_of(policy->mode), policy->rule.mode == cosign::Mode::key ? "key" : "keyless",
      json::quote(policy->rule.issuer), identities, json::quote(policy->rule.public_key), policy->rule.require_tlog,
      json::quote(settings.public_url + "/api/v1/internal/measurement-callback"),
      json::quote(parts_.tokens.make(version.id, version.lease_seq, *version.lease_expires_at)),
      to_rfc3339(*version.lease_expires_at));
  const auto answer = parts_.http.send(request);
  wipe(request.body);
  if (!answer)
    return fail(ErrorCode::measurement_unavailable, fmt::format("the measurer: {}", to_string(answer.error())));
  if (answer->status != 202)
    return fail(ErrorCode::measurement_unavailable, fmt::format("the measurer answers {}", answer->status));
  return {};
}

Result<VersionStatus> VersionMeasuring::finish(const Task& task, const Result<Measurement>& measured,
                                               const MeasureQueueSettings& settings) {
  Result<AttestedContent> content = measured ? content_of(task.version, *measured, settings.publishing)
                                             : Result<AttestedContent>(std::unexpected(measured.error()));
  return parts_.database.write<VersionStatus>([&](db::Transaction& tx) -> Result<VersionStatus> {
    const UtcTime now = parts_.clock.now();
    const auto decided =
        audit(tx, task, "signature_policy_decision", measured ? std::nullopt : std::optional(measured.error().code),
              measured ? decision_of(*measured) : "{}", now);
    if (!decided) return std::unexpected(decided.error());
    return settle(tx, task, content, settings, now);
  });
}

/// Writes what came of a measurement. Error: measurement_superseded: the lease was lost, and nothing is written.
Result<VersionStatus> VersionMeasuring::settle(db::Transaction& tx, const Task& task,
                                               const Result<AttestedContent>& content,
                                               const MeasureQueueSettings& settings, UtcTime now) {
  const AppVersionRow& version = task.version;
  Result<bool> written = false;
  VersionStatus status = VersionStatus::attested;
  std::optional<ErrorCode> code;
  if (content) {
    written = versions_.attest(tx, version.id, version.lease_seq, *content, now);
  } else if (!is_permanent(content.error().code) && version.attempts < settings.max_attempts) {
    status = VersionStatus::pending;
    code = content.error().code;
    written =
        versions_.put_back(tx, version.id, version.lease_seq, now + measure_backoff(version.attempts, parts_.random));
  } else {
    status = VersionStatus::rejected;
    code = is_permanent(content.error().code) ? content.error().code : ErrorCode::measurement_unavailable;
    std::string detail = content.error().detail;
    if (*code != content.error().code) detail = std::string(slug(content.error().code)) + ": " + detail;
    written = versions_.reject(tx, version.id, version.lease_seq, std::string(slug(*code)),
                               std::string(utf8_prefix(detail, kMaxDetail)));
  }
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::measurement_superseded);
  results_.with({name_of(status), code ? slug(*code) : "ok"}).increment();
  if (status == VersionStatus::pending) return status;
  const auto audited =
      audit(tx, task, status == VersionStatus::attested ? "version_attested" : "version_rejected", code, "{}", now);
  if (!audited) return std::unexpected(audited.error());
  return status;
}

Result<void> VersionMeasuring::audit(db::Transaction& tx, const Task& task, std::string action,
                                     const std::optional<ErrorCode>& code, std::string detail, UtcTime now) const {
  AuditEntry entry{.actor = "system:measurement_worker",
                   .action = std::move(action),
                   .object_type = "app_version",
                   .object_id = task.version.id,
                   .result = code ? AuditResult::refused : AuditResult::ok};
  if (code) entry.reason_code = std::string(slug(*code));
  entry.detail = fmt::format(R"({{"app":{},"version":{},"images":{}}})", json::quote(task.app.name),
                             json::quote(task.version.version), detail);
  const auto audited = audit_.append(tx, entry, now, parts_.random);
  if (!audited) return std::unexpected(audited.error());
  return {};
}

Result<JobSummary> VersionMeasuring::reap(const std::stop_token& stop) {
  JobSummary summary;
  const MeasureQueueSettings settings = parts_.settings();
  const auto reaped = parts_.database.write<std::int64_t>([&](db::Transaction& tx) -> Result<std::int64_t> {
    const UtcTime now = parts_.clock.now();
    auto expired = versions_.expired(tx, now, kReapBatch);
    if (!expired) return std::unexpected(expired.error());
    std::int64_t count = 0;
    for (AppVersionRow& version : *expired) {
      if (stop.stop_requested()) break;
      auto app = apps_.find_by_id(tx, version.app_id);
      if (!app) return std::unexpected(app.error());
      if (!*app) return fail(ErrorCode::internal_error, "a version without its app");
      const Task task{.app = std::move(**app), .version = std::move(version)};
      const auto settled = settle(tx, task, fail(ErrorCode::measurement_timeout, "the lease ran out"), settings, now);
      if (!settled) return std::unexpected(settled.error());
      ++count;
    }
    return count;
  });
  if (!reaped) return std::unexpected(reaped.error());
  summary.count("reaped", *reaped);
  return summary;
}

}  // namespace ee::cp
