// Reports of external measurers (03 section 7.3).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/crypto.h"
#include "common/log.h"
#include "common/utf8.h"
#include "cp/service/publish_rules.h"
#include "cp/service/version_measuring.h"

namespace ee::cp {
namespace {

constexpr std::string_view kComponent = "measurement";

/// What a measurer may say that a measurement failed for.
Result<Error> failure_of(const MeasurementReport& report) {
  if (!report.error) return fail(ErrorCode::measurement_inconsistent, "a failure without its error");
  const auto code = error_code_of(report.error->code);
  const bool known = code && (error_info(*code).area == "images" || *code == ErrorCode::compose_invalid ||
                              *code == ErrorCode::compose_forbidden);
  if (!known) return fail(ErrorCode::measurement_inconsistent, "a failure that no measurement has");
  return Error{.code = *code, .detail = std::string(utf8_prefix(report.error->detail.value_or(""), 300))};
}

/// The signature policy is applied here, whatever the measurer made of it.
Result<void> judge_signatures(const SignaturePolicy& policy, Measurement& measurement) {
  for (auto& [service, image] : measurement.images) {
    std::erase_if(image.warnings, [](const std::string& warning) { return warning != "implicit_latest"; });
    if (auto good = apply_signature_mode(policy.mode, image); !good) return good;
  }
  return {};
}

}  // namespace

Result<std::optional<VersionMeasuring::Task>> VersionMeasuring::task_of(db::Transaction& tx,
                                                                        const MeasurementReport& report) const {
  auto version = versions_.find(tx, report.version_id);
  if (!version) return std::unexpected(version.error());
  if (!*version) return std::optional<Task>();
  auto app = apps_.find_by_id(tx, (*version)->app_id);
  if (!app) return std::unexpected(app.error());
  if (!*app) return fail(ErrorCode::internal_error, "a version without its app");
  return std::optional(Task{.app = std::move(**app), .version = std::move(**version)});
}

/// Errors: digest_mismatch when the registry says otherwise, or why it could not be asked.
Result<void> VersionMeasuring::cross_check(const MeasurementReport& report, const MeasureQueueSettings& settings,
                                           const std::stop_token& stop) {
  if (report.status != "success" || !report.measurement || report.measurement->images.empty()) return {};
  const auto task = parts_.database.read<std::optional<Task>>([&](db::Transaction& tx) { return task_of(tx, report); });
  if (!task) return std::unexpected(task.error());
  if (!*task || (*task)->version.status != VersionStatus::measuring || (*task)->version.lease_seq != report.lease_seq)
    return {};
  const auto workload = check_stored_compose((*task)->version, settings.publishing);
  if (!workload || !content_of((*task)->version, *report.measurement, settings.publishing)) return {};
  const auto drawn = static_cast<std::size_t>(parts_.random.between(0, std::ssize(workload->services) - 1));
  const compose::Service& service = workload->services[drawn];
  const auto found = parts_.measurer.look_up(service.image, (*task)->app.owner_account_id, stop);
  if (!found) return std::unexpected(found.error());
  if (found->manifest_digest == report.measurement->images.at(service.name).digest) return {};
  log::error(kComponent, "measurer_disagrees: the registry has another digest than a measurer reported",
             {{"version_id", report.version_id}, {"service", service.name}});
  return fail(ErrorCode::digest_mismatch, service.name + ": the registry has another digest than was reported");
}

Result<VersionStatus> VersionMeasuring::settle_report(db::Transaction& tx, const MeasurementReport& report,
                                                      const ReportFacts& facts, const MeasureQueueSettings& settings,
                                                      std::optional<Error>& inconsistent) {
  const UtcTime now = parts_.clock.now();
  const auto found = task_of(tx, report);
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(ErrorCode::measurement_superseded);
  const Task& task = **found;
  const AppVersionRow& version = task.version;
  if (version.lease_seq == report.lease_seq && version.report_sha256 == facts.sha256)
    return version.status;  // the same report again
  if (version.status != VersionStatus::measuring || version.lease_seq != report.lease_seq)
    return fail(ErrorCode::measurement_superseded);

  Result<AttestedContent> content = fail(ErrorCode::measurement_inconsistent, "neither success nor failed");
  if (report.status == "failed") {
    const auto failure = failure_of(report);
    content = std::unexpected(failure ? *failure : failure.error());
  } else if (report.status == "success" && report.measurement) {
    Measurement judged = *report.measurement;
    const auto policy = policy_of(task.app, settings.signatures);
    const Result<void> good = policy ? judge_signatures(*policy, judged) : std::unexpected(policy.error());
    content = content_of(version, judged, settings.publishing);
    if (content && !facts.checked) content = std::unexpected(facts.checked.error());
    // What was not verified is a verdict here: there is nothing that this side could try again.
    if (content && !good)
      content = is_transient(good.error().code) ? fail(ErrorCode::signature_missing, good.error().detail)
                                                : std::unexpected(good.error());
    const auto refused = good ? std::nullopt : std::optional(good.error().code);
    if (auto noted = audit(tx, task, "signature_policy_decision", refused, "{}", now); !noted)
      return std::unexpected(std::move(noted.error()));
  }
  if (!content && content.error().code == ErrorCode::measurement_inconsistent) inconsistent = content.error();
  if (!content && content.error().code == ErrorCode::digest_mismatch && report.status == "success")
    if (auto noted = audit(tx, task, "measurer_disagrees", ErrorCode::digest_mismatch, "{}", now); !noted)
      return std::unexpected(std::move(noted.error()));
  const auto settled = settle(tx, task, content, settings, now);
  if (!settled || inconsistent) return settled;
  if (auto noted = versions_.note_report(tx, version.id, facts.sha256); !noted)
    return std::unexpected(std::move(noted.error()));
  return settled;
}

Result<ReportAnswer> VersionMeasuring::report(std::string_view token, const MeasurementReport& report,
                                              std::string_view body, const std::stop_token& stop) {
  if (!parts_.tokens.is_good(token, report.version_id, report.lease_seq, parts_.clock.now()))
    return fail(ErrorCode::callback_unauthorized);
  const MeasureQueueSettings settings = parts_.settings();
  const ReportFacts facts{.sha256 = to_hex(sha256(bytes_of(body))), .checked = cross_check(report, settings, stop)};
  std::optional<Error> inconsistent;
  const auto status = parts_.database.write<VersionStatus>([&](db::Transaction& tx) {
    inconsistent.reset();
    return settle_report(tx, report, facts, settings, inconsistent);
  });
  if (!status) return std::unexpected(status.error());
  if (inconsistent) {
    log::warn(kComponent, "a measurer's report does not fit its version",
              {{"version_id", report.version_id}, {"detail", inconsistent->detail}});
    return fail(ErrorCode::measurement_inconsistent, inconsistent->detail);
  }
  return ReportAnswer{.status = *status};
}

void VersionMeasuring::note_refused(const Error& error, const std::string& version_id, const Actor& actor) {
  const std::string reason(slug(error.code));
  const auto folded = refusals_.admit(reason + " " + actor.client_address, parts_.clock.steady_now());
  if (!folded) return;
  AuditEntry entry{.actor = "anonymous",
                   .action = "measurement_callback_refused",
                   .result = AuditResult::refused,
                   .reason_code = reason,
                   .request_id = actor.request_id,
                   .client_address = actor.client_address,
                   .detail = fmt::format(R"({{"folded":{}}})", *folded)};
  if (error.code != ErrorCode::callback_unauthorized) {
    entry.actor = "system:measurer";
    entry.object_type = "app_version";
    entry.object_id = version_id;
  }
  const auto written = parts_.database.write<std::string>(
      [&](db::Transaction& tx) { return audit_.append(tx, entry, parts_.clock.now(), parts_.random); });
  if (!written) log::error("audit", "a refused report could not be audited", {{"code", slug(written.error().code)}});
}

}  // namespace ee::cp
