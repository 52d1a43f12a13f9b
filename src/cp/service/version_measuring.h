#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/service/actor.h"
#include "cp/service/app_versions.h"
#include "cp/service/audit_fold.h"
#include "cp/service/job_summary.h"
#include "cp/service/measurement.h"
#include "cp/store/app_store.h"
#include "cp/store/app_version_store.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// Settings of the queue.
struct MeasureQueueSettings {
  bool external = false;
  std::string measurer_url = {};
  std::size_t concurrency = 2;
  Seconds lease{300};
  std::int64_t max_attempts = 8;
  SignatureSettings signatures = {};
  PublishSettings publishing = {};
  std::string public_url = {};
};

/// The token that an external measurer's report must carry: `ee_meas_<end of the lease, ms>.<base64url HMAC>`. It holds
/// all that is needed to check it, so every replica can. Nothing without a key.
class CallbackTokens {
 public:
  /// `secrets_key`: of the secret box; empty: there is none.
  explicit CallbackTokens(const Secret& secrets_key);
  ~CallbackTokens();

  bool usable() const { return key_ != nullptr; }
  std::string make(const std::string& version_id, std::int64_t lease_seq, UtcTime lease_expires_at) const;
  /// Whether `token` is the one of this measurement and its lease is not over.
  bool is_good(std::string_view token, const std::string& version_id, std::int64_t lease_seq, UtcTime now) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
};

/// What external measurers send.
struct MeasurementReport {
  std::string version_id;
  std::int64_t lease_seq = 0;
  std::string status;  ///< `success` or `failed`
  struct Failure {
    std::string code;
    std::optional<std::string> detail;
  };
  std::optional<Failure> error;
  std::optional<Measurement> measurement;
};
BOOST_DESCRIBE_STRUCT(MeasurementReport::Failure, (), (code, detail))
BOOST_DESCRIBE_STRUCT(MeasurementReport, (), (version_id, lease_seq, status, error, measurement))
constexpr std::string_view json_name(json::For<MeasurementReport::Failure> /*type*/) { return "MeasurementFailure"; }
constexpr std::string_view json_name(json::For<MeasurementReport> /*type*/) { return "MeasurementReport"; }

struct ReportAnswer {
  VersionStatus status = VersionStatus::pending;
};
BOOST_DESCRIBE_STRUCT(ReportAnswer, (), (status))
constexpr std::string_view json_name(json::For<ReportAnswer> /*type*/) { return "MeasurementReportAnswer"; }

/// The queue of versions to measure (03 section 7.3). Rows hold all of its state: a worker takes one by a lease, and
/// writes its result only if it has the lease still. Thread-safe.
class VersionMeasuring {
 public:
  struct Parts {
    db::Database& database;
    Measurer& measurer;
    HttpClient& http;
    Clock& clock;
    Random& random;
    const CallbackTokens& tokens;
    metrics::Registry& metrics;
    std::string replica;
    std::function<MeasureQueueSettings()> settings;
    /// Tests: runs before the result of a measurement is written.
    std::function<void()> before_result = {};
  };
  static constexpr Seconds kRenewEvery{60};
  static constexpr std::int64_t kReapBatch = 100;

  explicit VersionMeasuring(Parts parts);

  /// Measures what is due, `concurrency` at a time, until nothing is left or `stop`.
  Result<JobSummary> run(const std::stop_token& stop);
  /// Leases that are over count as a failure that may pass.
  Result<JobSummary> reap(const std::stop_token& stop);
  /// A report of an external measurer, whose body was `body`. One of its images, drawn at random, is looked up here; a
  /// measurer that says otherwise is not believed. Errors: callback_unauthorized, measurement_superseded,
  /// measurement_inconsistent.
  Result<ReportAnswer> report(std::string_view token, const MeasurementReport& report, std::string_view body,
                              const std::stop_token& stop);
  /// The audit row `measurement_callback_refused`; equal ones of an address are folded into one a minute. The version
  /// is named only when the token was good. The answer stays a refusal whether or not the row can be written.
  void note_refused(const Error& error, const std::string& version_id, const Actor& actor);

 private:
  struct Task {
    AppRow app;
    AppVersionRow version;
  };
  Result<std::optional<Task>> take(const MeasureQueueSettings& settings);
  void measure(const Task& task, const MeasureQueueSettings& settings, const std::stop_token& stop);
  Result<Measurement> measure_here(const Task& task, const MeasureQueueSettings& settings, const std::stop_token& stop);
  Result<void> hand_out(const Task& task, const MeasureQueueSettings& settings, const std::stop_token& stop);
  Result<VersionStatus> finish(const Task& task, const Result<Measurement>& measured,
                               const MeasureQueueSettings& settings);
  Result<VersionStatus> settle(db::Transaction& tx, const Task& task, const Result<AttestedContent>& content,
                               const MeasureQueueSettings& settings, UtcTime now);
  Result<void> cross_check(const MeasurementReport& report, const MeasureQueueSettings& settings,
                           const std::stop_token& stop);
  struct ReportFacts {
    std::string sha256;    ///< of the body
    Result<void> checked;  ///< what the own look-up said
  };
  Result<VersionStatus> settle_report(db::Transaction& tx, const MeasurementReport& report, const ReportFacts& facts,
                                      const MeasureQueueSettings& settings, std::optional<Error>& inconsistent);
  Result<std::optional<Task>> task_of(db::Transaction& tx, const MeasurementReport& report) const;
  Result<void> audit(db::Transaction& tx, const Task& task, std::string action, const std::optional<ErrorCode>& code,
                     std::string detail, UtcTime now) const;

  Parts parts_;
  AppStore apps_;
  AppVersionStore versions_;
  AuditLogStore audit_;
  AuditFold refusals_;
  metrics::Family<metrics::Counter> results_;
  metrics::Gauge queue_;
  metrics::Histogram seconds_;
};

/// The signature policy of an app's versions.
Result<SignaturePolicy> policy_of(const AppRow& app, const SignatureSettings& common);
/// What of a measurement is kept: everything is computed from the version's own text and the digests. Errors:
/// declared_digest_mismatch, measurement_inconsistent (other services, other repositories), those of the checker.
Result<AttestedContent> content_of(const AppVersionRow& version, const Measurement& measurement,
                                   const PublishSettings& settings);

}  // namespace ee::cp
