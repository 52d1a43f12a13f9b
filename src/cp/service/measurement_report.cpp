// Reports of external measurers (03 section 7.3).
#include <algorithm>
#include <array>

#include "common/crypto.h"
#include "common/log.h"
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
  return Error{.code = *code, .detail = report.error->detail.value_or("").substr(0, 300)};
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

Result<VersionStatus> VersionMeasuring::settle_report(db::Transaction& tx, const MeasurementReport& report,
                                                      std::string_view report_sha256,
                                                      const MeasureQueueSettings& settings,
                                                      std::optional<Error>& inconsistent) {
  const UtcTime now = parts_.clock.now();
  auto version = versions_.find(tx, report.version_id);
  if (!version) return std::unexpected(version.error());
  if (!*version) return fail(ErrorCode::measurement_superseded);
  if ((*version)->lease_seq == report.lease_seq && (*version)->report_sha256 == report_sha256)
    return (*version)->status;  // the same report again
  if ((*version)->status != VersionStatus::measuring || (*version)->lease_seq != report.lease_seq)
    return fail(ErrorCode::measurement_superseded);
  auto app = apps_.find_by_id(tx, (*version)->app_id);
  if (!app) return std::unexpected(app.error());
  if (!*app) return fail(ErrorCode::internal_error, "a version without its app");
  const Task task{.app = std::move(**app), .version = std::move(**version)};

  Result<AttestedContent> content = fail(ErrorCode::measurement_inconsistent, "neither success nor failed");
  Measurement judged;
  std::optional<ErrorCode> refused;
  if (report.status == "failed") {
    const auto failure = failure_of(report);
    content = std::unexpected(failure ? *failure : failure.error());
  } else if (report.status == "success" && report.measurement) {
    judged = *report.measurement;
    content = content_of(task.version, judged, settings.publishing);
    const auto policy = policy_of(task.app, settings.signatures);
    const Result<void> good = policy ? judge_signatures(*policy, judged) : std::unexpected(policy.error());
    if (content && good) {
      content = content_of(task.version, judged, settings.publishing);
    } else if (content) {
      refused = good.error().code;
      content = std::unexpected(good.error());
    }
    if (auto noted = audit(tx, task, "signature_policy_decision", refused, "{}", now); !noted)
      return std::unexpected(std::move(noted.error()));
  }
  if (!content && content.error().code == ErrorCode::measurement_inconsistent) inconsistent = content.error();
  // A signature that could not be judged is a verdict here: there is nothing that this side could try again.
  if (refused && is_transient(*refused)) content = fail(ErrorCode::signature_missing, "the signature was not verified");
  const auto settled = settle(tx, task, content, settings, now);
  if (!settled || inconsistent) return settled;
  if (auto noted = versions_.note_report(tx, task.version.id, std::string(report_sha256)); !noted)
    return std::unexpected(std::move(noted.error()));
  return settled;
}

Result<ReportAnswer> VersionMeasuring::report(std::string_view token, const MeasurementReport& report,
                                              std::string_view body) {
  if (!parts_.tokens.is_good(token, report.version_id, report.lease_seq, parts_.clock.now()))
    return fail(ErrorCode::callback_unauthorized);
  const std::string sha256_text = to_hex(sha256(bytes_of(body)));
  const MeasureQueueSettings settings = parts_.settings();
  std::optional<Error> inconsistent;
  const auto status = parts_.database.write<VersionStatus>([&](db::Transaction& tx) {
    inconsistent.reset();
    return settle_report(tx, report, sha256_text, settings, inconsistent);
  });
  if (!status) return std::unexpected(status.error());
  if (inconsistent) {
    log::warn(kComponent, "a measurer's report does not fit its version",
              {{"version_id", report.version_id}, {"detail", inconsistent->detail}});
    return fail(ErrorCode::measurement_inconsistent, inconsistent->detail);
  }
  return ReportAnswer{.status = *status};
}

}  // namespace ee::cp
