#pragma once
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attestation/verify/collateral.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "cp/domain/config.h"
#include "cp/service/verification.h"
#include "net/http.h"

namespace ee {
class HttpStreams;
}
namespace ee::db {
class ServedDatabase;
}

namespace ee::cp {

class LogBuffer;

/// Why the control plane did not start: lines for the operator and the program's exit code (05 section 1.1).
struct StartFailure {
  int exit_code = 1;
  std::vector<std::string> lines;
};

/// Where the world enters. All outlive the App.
struct AppWorld {
  Clock& clock;
  Random& random;
  HttpClient& http;
  /// Tests: runs before each step of a verification.
  std::function<void(VerificationStep)> before_verification_step = {};
  /// Tests: in place of the publisher's collateral and the emulator's.
  std::shared_ptr<attestation::CollateralSource> collateral = {};
  /// Tests: who signs what the publisher serves, in place of Intel; the emulator's own collateral is not used then.
  /// Outlives the App.
  const attestation::TrustAnchor* collateral_anchor = nullptr;
  /// Tests: runs before each posting that a deposit, refund or dispute makes.
  std::function<void()> before_deposit_post = {};
  /// Where the process's log is kept for reading; without it an empty one is.
  std::shared_ptr<LogBuffer> logs = {};
  /// Tests: in place of the real streams of agents' logs. Outlives the App.
  HttpStreams* streams = nullptr;
  bool run_jobs = true;  ///< tests call single passes instead
};

struct JobSummary;
struct Route;

/// The control plane, composed: builds everything in order of dependence and owns it; destruction runs backwards.
class App {
 public:
  /// Database, schema, settings, guardrails, own evidence, listener, jobs; then `/ready`. Nothing is left half-started.
  static std::expected<std::unique_ptr<App>, StartFailure> start(const Config& config, AppWorld world);
  App(const App&) = delete;
  App& operator=(const App&) = delete;
  ~App();

  std::uint16_t port() const;
  std::string url() const;

  /// `/ready` answers 503 and health says `draining`; jobs claim no more runs and their stop tokens fire.
  void begin_drain();
  /// Stops listening, waits for requests and jobs until `grace` is over, flushes what is in memory, closes the
  /// database. True when everything ended in time.
  bool stop(Seconds grace);
  /// SIGHUP: TLS files and the log level.
  void reload();

  /// One request without a socket, as the server would hand it on after reading it. For tests.
  net::Response call(net::Request request);
  /// The whole route table. For tests.
  const std::vector<Route>& routes() const;
  /// One pass of a job, now. For tests. Errors: `job_unknown`, the job's own.
  Result<JobSummary> run_job(const std::string& name);
  db::ServedDatabase& database();

  struct Parts;

 private:
  explicit App(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ee::cp
