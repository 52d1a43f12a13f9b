#include "cp/process_metrics.h"

#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>

#include "attestation/validate/policy.h"
#include "common/error_level.h"
#include "common/http_client.h"
#include "common/log.h"
#include "cp/domain/agent.h"
#include "cp/integration/cloudflare/cloudflare_types.h"

namespace ee::cp {
namespace {

constexpr std::string_view kProxyRoute = "/proxy/{service}/{path}";
constexpr std::string_view kRegisterRoute = "/api/v1/agents/register";
constexpr std::string_view kOverloaded = "overloaded";

std::vector<std::string> all_slugs() {
  std::vector<std::string> out;
  for (const ErrorInfo& info : error_table()) out.emplace_back(info.slug);
  return out;
}

std::vector<std::string> ok_and_all_slugs() {
  std::vector<std::string> out = all_slugs();
  out.emplace_back("ok");
  return out;
}

std::vector<std::string> all_warnings() {
  std::vector<std::string> out;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<attestation::Warning>>(
      [&](auto warning) { out.emplace_back(warning.name); });
  return out;
}

const std::vector<std::string> kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
const std::vector<std::string> kStatuses = {"200", "201", "202", "204", "304", "400", "401", "403", "404",
                                            "405", "406", "408", "409", "410", "412", "413", "414", "415",
                                            "422", "429", "431", "500", "502", "503", "504"};

/// Statuses, and why there was none.
std::vector<std::string> with_failures(std::vector<std::string> statuses) {
  for (const HttpFailure failure :
       {HttpFailure::bad_url, HttpFailure::resolve, HttpFailure::connect, HttpFailure::tls, HttpFailure::timeout,
        HttpFailure::answer_too_large, HttpFailure::cancelled, HttpFailure::protocol, HttpFailure::address_refused})
    statuses.emplace_back(to_string(failure));
  return statuses;
}

/// How operations on tunnels end: well, given up, or as Cloudflare failed.
std::vector<std::string> tunnel_results() {
  std::vector<std::string> out = {"ok", "abandoned", "quota", "no_database", "failed"};
  using cloudflare::Failure;
  for (const Failure failure :
       {Failure::name_exists, Failure::has_connections, Failure::gone, Failure::record_exists, Failure::bad_token,
        Failure::rate_limited, Failure::over_budget, Failure::transient, Failure::refused, Failure::cancelled})
    out.emplace_back(to_string(failure));
  return out;
}

log::Level level_of(const net::AccessRecord& record) {
  if (record.status < 400) return log::Level::debug;
  if (const auto code = error_code_of(record.code)) return log_level_of(*code);
  // Without a code, 503 is how /ready says that the process starts, stops or misses something: no request has failed,
  // and what is amiss has records of its own.
  return record.status < 500 || record.status == 503 ? log::Level::warn : log::Level::error;
}

}  // namespace

ProcessMetrics::ProcessMetrics(metrics::Registry& registry, const std::string& version, const std::string& git_sha)
    : write_seconds_(
          registry.histogram("ee_db_write_seconds", "A write from its call to its end.", metrics::latency_buckets())),
      group_size_(registry.histogram("ee_db_group_size", "Writes of one commit.", {1, 2, 4, 8, 16, 32, 64, 128})),
      queue_depth_(registry.gauge("ee_db_queue_depth", "Writes that wait for the writer.")),
      attempts_(registry.counter("ee_attestation_attempts_total", "Attempts to attest.",
                                 {{"purpose", {"register", "refresh"}}, {"result", {"accepted", "rejected"}}})),
      rejects_(registry.counter("ee_attestation_rejects_total", "Refused attempts by reason.",
                                {{"reason_code", all_slugs()}})),
      registrations_(registry.counter("ee_agent_registrations_total", "Registrations.",
                                      {{"result", {"accepted", "rejected"}}, {"code", ok_and_all_slugs()}})),
      attestation_seconds_(registry.histogram("ee_attestation_duration_seconds", "Duration of attempts.",
                                              {{"step", {kVerificationSteps.begin(), kVerificationSteps.end()}}},
                                              metrics::latency_buckets())),
      warnings_(registry.counter("ee_attestation_warnings_total", "Warnings of accepted evidence.",
                                 {{"code", all_warnings()}})),
      nonces_(registry.counter("ee_nonce_issued_total", "Challenges given.", {{"purpose", {"register", "refresh"}}})),
      nonces_consumed_(registry.counter("ee_nonce_consumed_total", "Nonces used up.")),
      nonces_rejected_(registry.counter(
          "ee_nonce_rejected_total", "Challenges refused.",
          {{"reason", {"nonce_unknown", "nonce_expired", "nonce_context_mismatch", "nonce_replayed"}}})),
      heartbeats_(registry.counter("ee_agent_heartbeats_total", "Heartbeats.",
                                   {{"result", {"ok", "duplicate", "refused", "failed"}}})),
      rate_limited_(registry.counter("ee_rate_limited_total", "Requests over their rate.",
                                     {{"class",
                                       {"challenge", "registration", "own_quote", "agent", "agent_relay", "evidence",
                                        "read", "write", "admin", "sign_in", "webhook", "deploy", "preflight"}}})),
      tunnels_(registry.counter(
          "ee_tunnel_ops_total", "Operations on tunnels.",
          {{"op", {"provision", "adopt", "remove", "remove_orphan", "probe"}}, {"result", tunnel_results()}})),
      cloudflare_(
          registry.counter("ee_cloudflare_calls_total", "Calls of Cloudflare's API.",
                           {{"op",
                             {"create_tunnel", "find_tunnel", "list_tunnels", "get_tunnel", "tunnel_token",
                              "configure_tunnel", "drop_connections", "delete_tunnel", "find_record", "list_records",
                              "get_record", "create_record", "update_record", "delete_record", "verify_token"}},
                            {"status", with_failures(kStatuses)}})),
      stripe_(registry.counter("ee_stripe_calls_total", "Calls of Stripe's API.",
                               {{"call", {"create_intent", "get_intent", "cancel_intent", "get_balance"}},
                                {"result", with_failures(kStatuses)}})),
      audit_failures_(registry.counter("ee_attestation_audit_failures_total", "Decisions that could not be audited.")),
      collateral_(registry.counter(
          "ee_collateral_fetch_total", "Fetches of collateral.",
          {{"kind", {"root_crl", "pck_crl", "tcb_info", "qe_identity"}}, {"result", {"ok", "failed"}}})),
      rejected_(
          registry.counter("ee_http_rejected_total", "Requests refused before routing.", {{"reason", all_slugs()}})) {
  registry.gauge("ee_build_info", "1, with the build as labels.", {{"version", {version}}, {"git_sha", {git_sha}}})
      .with({version, git_sha})
      .set(1);
}

void ProcessMetrics::set_routes(metrics::Registry& registry, const std::vector<std::string>& routes) {
  requests_ = registry.counter("ee_http_requests_total", "Requests.",
                               {{"route", routes}, {"method", kMethods}, {"status", kStatuses}});
  request_seconds_ = registry.histogram("ee_http_request_seconds", "Duration of requests.", {{"route", routes}},
                                        metrics::latency_buckets());
}

void ProcessMetrics::group_finished(std::size_t items, bool committed, db::Microseconds, std::size_t queued) {
  if (committed) group_size_.observe(static_cast<double>(items));
  queue_depth_.set(static_cast<double>(queued));
}

void ProcessMetrics::write_finished(db::Microseconds took) {
  write_seconds_.observe(static_cast<double>(took.count()) / 1e6);
}

void ProcessMetrics::slow_write(db::Microseconds took) {
  log::warn("database", "a write ran for long", {{"took_ms", took.count() / 1000}});
}

void ProcessMetrics::group_failed(std::string_view detail) {
  log::error("database", "writes could not be stored", {{"error", detail}});
}

void ProcessMetrics::request(const net::AccessRecord& record) {
  const std::string status = std::to_string(record.status);
  if (record.route == nullptr) {
    if (!record.code.empty()) rejected_.with({record.code}).increment();
  } else if (requests_) {
    requests_->with({record.route->route_template, record.method, status}).increment();
    request_seconds_->with({record.route->route_template}).observe(static_cast<double>(record.duration.count()) / 1e6);
    // The server's own refusal, which the service never saw.
    if (record.code == kOverloaded && record.route->route_template == kRegisterRoute)
      registrations_.with({"rejected", kOverloaded}).increment();
  }
  // The proxy writes a line of its own; and an error of a tenant's workload is none of this process's, nor must it make
  // an io thread wait for the log.
  if (record.route != nullptr && record.route->route_template == kProxyRoute) return;
  const log::Level level = level_of(record);
  if (!log::enabled(level)) return;
  const std::string_view route = record.route != nullptr ? std::string_view(record.route->route_template) : "-";
  log::write(level, "http", "request",
             {{"method", record.method},
              {"route", route},
              {"status", record.status},
              {"duration_ms", record.duration.count() / 1000},
              {"bytes_in", record.bytes_in},
              {"bytes_out", record.bytes_out},
              {"client_ip", record.client_address},
              {"principal", record.principal},
              {"code", record.code},
              {"request_id", record.request_id}});
}

void ProcessMetrics::rate_limited(std::string_view limit_class) { rate_limited_.with({limit_class}).increment(); }

void ProcessMetrics::registration(std::optional<ErrorCode> reason, const AttestationAttempt& attempt,
                                  Milliseconds took) {
  registrations_.with({reason ? "rejected" : "accepted", reason ? slug(*reason) : "ok"}).increment();
  attestation(reason, attempt, took);
}

void ProcessMetrics::attestation(std::optional<ErrorCode> reason, const AttestationAttempt& attempt,
                                 Milliseconds took) {
  attempts_.with({attempt.purpose, reason ? "rejected" : "accepted"}).increment();
  if (reason) rejects_.with({slug(*reason)}).increment();
  if (!reason)
    for (const std::string& warning : attempt.warnings) warnings_.with({warning}).increment();
  attestation_seconds_.with({"all"}).observe(static_cast<double>(took.count()) / 1e3);
  for (const StepTime& step : attempt.steps)
    attestation_seconds_.with({step.name}).observe(std::chrono::duration<double>(step.took).count());
}

void ProcessMetrics::nonce_issued(std::string_view purpose) { nonces_.with({purpose}).increment(); }
void ProcessMetrics::nonce_used(std::optional<ErrorCode> refused) {
  if (refused)
    nonces_rejected_.with({slug(*refused)}).increment();
  else
    nonces_consumed_.increment();
}
void ProcessMetrics::heartbeat(HeartbeatResult result) { heartbeats_.with({name_of(result)}).increment(); }
void ProcessMetrics::tunnel(std::string_view op, std::string_view result) { tunnels_.with({op, result}).increment(); }
void ProcessMetrics::cloudflare_call(std::string_view op, std::string_view status) {
  cloudflare_.with({op, status}).increment();
}
void ProcessMetrics::stripe_call(std::string_view call, std::string_view result) {
  stripe_.with({call, result}).increment();
}
void ProcessMetrics::audit_failed() { audit_failures_.increment(); }

void ProcessMetrics::collateral(const attestation::CollateralFetchReport& report) {
  collateral_.with({to_string(report.kind), report.code ? "failed" : "ok"}).increment();
}

}  // namespace ee::cp
