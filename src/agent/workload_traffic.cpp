#include "agent/workload_traffic.h"

#include <algorithm>
#include <boost/json/object.hpp>

#include "agent/proc_text.h"
#include "agent/signed_token.h"
#include "common/bytes.h"
#include "common/crypto.h"
#include "common/jose.h"
#include "common/problem.h"
#include "net/chars.h"
#include "net/proxy/hop_fields.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kType = "ee-proxy+jwt";
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::int64_t kMostLifetimeSeconds = 120;
constexpr Milliseconds kSkew = 30s;
constexpr Milliseconds kConnect = 5s;
constexpr Milliseconds kIdle = 300s;
constexpr Milliseconds kNoLimit = std::chrono::hours(24 * 365);
constexpr std::uint64_t kAnySize = std::uint64_t{1} << 62U;

}  // namespace

// ---- assertions ----------------------------------------------------------------------------------------------------

bool ProxyAssertions::accepts(std::string_view token, const ServedWorkload& served) {
  const auto session = board_.session();
  if (!session || token.empty() || token.size() > kMaxTokenBytes) return false;
  const ByteArray<32> hash = sha256(bytes_of(token));
  const UtcTime now = board_.corrected_now();
  Good good;
  bool known = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = good_.find(hash); found != good_.end()) {
      good = found->second;
      known = good.registration_id == session->identity.registration_id;
    }
  }
  if (!known && !verify(token, good)) return false;
  if (now > good.expires_at + kSkew) return false;
  if (!known) {
    const std::lock_guard lock(mutex_);
    if (good_.size() >= kMaxKept)
      std::erase_if(good_, [&](const auto& entry) { return entry.second.expires_at < now; });
    if (good_.size() >= kMaxKept) good_.clear();
    good_[hash] = good;
  }
  return good.deployment_id == served.deployment_id && good.epoch == served.assignment_epoch;
}

bool ProxyAssertions::verify(std::string_view text, Good& good) const {
  const auto session = board_.session();
  if (!session) return false;
  const auto verified = verified_token(text, "", kType, *session);
  if (!verified) return false;
  const auto& claims = verified->claims();
  const auto audience = jose::text_member(claims, "aud");
  const auto deployment = jose::text_member(claims, "dep");
  const auto epoch = jose::integer_member(claims, "epoch");
  const auto issued = jose::integer_member(claims, "iat");
  const auto expires = jose::integer_member(claims, "exp");
  if (!audience || !deployment || !epoch || !issued || !expires) return false;
  if (*audience != session->identity.agent_id) return false;
  constexpr std::int64_t kFarthest = 253402300799;  // end of the year 9999
  if (*issued < 0 || *expires < *issued || *expires > kFarthest || *expires - *issued > kMostLifetimeSeconds)
    return false;
  if (board_.corrected_now() < UtcTime{Seconds(*issued)} - kSkew) return false;
  good = {.deployment_id = std::string(*deployment),
          .epoch = *epoch,
          .registration_id = session->identity.registration_id,
          .expires_at = UtcTime{Seconds(*expires)}};
  return true;
}

std::size_t ProxyAssertions::kept() const {
  const std::lock_guard lock(mutex_);
  return good_.size();
}

// ---- one request ---------------------------------------------------------------------------------------------------

/// Decides at the start whether a request passes and to which port, and writes both heads.
class WorkloadTraffic::Policy final : public net::ForwardPolicy {
 public:
  Policy(WorkloadTraffic& traffic, std::string normal_path)
      : traffic_(traffic), path_(std::move(normal_path)), admitted_(++traffic.streams_ <= kMaxStreams) {
    if (const auto session = traffic.board_.session()) agent_id_ = session->identity.agent_id;
  }
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;
  ~Policy() override { --traffic_.streams_; }

  void begin(const net::RequestHead& head, net::ForwardLimits& limits) override;
  void choose(int attempt, net::Exchange& exchange, Chosen chosen) override;
  void write_request(std::string& out) override { out += request_; }
  void write_response(const net::ResponseHead& head, std::string& fields) override;
  net::Response refusal(ErrorCode code) override;
  void on_attempt(net::ForwardOutcome, const net::ResponseHead*) override {}
  bool must_end(bool tunnel) override;
  void on_end(const net::ForwardSummary&) override {}

 private:
  std::optional<Error> judge(const net::RequestHead& head);
  void write_fields(const net::RequestHead& head);

  WorkloadTraffic& traffic_;
  const std::string path_;
  const bool admitted_;
  std::string agent_id_;
  std::string request_id_;
  std::shared_ptr<const ServedWorkload> served_;
  bool asserted_ = false;
  std::uint16_t port_ = 0;
  std::string request_;
  std::optional<Error> refused_;
};

void WorkloadTraffic::Policy::begin(const net::RequestHead& head, net::ForwardLimits& limits) {
  limits = {.connect = kConnect,
            .header = kIdle,
            .idle = kIdle,
            .sse_idle = kIdle,
            .total = kNoLimit,
            .tunnel_idle = kIdle,
            .tunnel_life = kNoLimit,
            .max_body_bytes = kAnySize,
            .max_attempts = 2};  // the second for a kept connection that the workload has closed meanwhile
  request_id_ = head.request_id;
  refused_ = judge(head);
  if (!refused_) write_fields(head);
}

std::optional<Error> WorkloadTraffic::Policy::judge(const net::RequestHead& head) {
  if (!admitted_) {
    Error busy{.code = ErrorCode::overloaded, .detail = "too many streams"};
    busy.retry_after = 2s;
    return busy;
  }
  served_ = traffic_.served_();
  if (!served_ || !served_->running)
    return Error{.code = ErrorCode::workload_not_running, .detail = "no workload runs here"};
  const auto assertion = head.field("X-EE-Proxy-Assertion");
  asserted_ = assertion && traffic_.assertions_.accepts(*assertion, *served_);
  if (!asserted_ && served_->access != agent_api::WorkloadAccess::public_)
    return Error{.code = ErrorCode::assertion_required, .detail = "this workload is reached through the control plane"};
  if (const auto wanted = asserted_ ? head.field("X-EE-Ingress-Port") : std::nullopt) {
    const auto port = decimal(*wanted);
    const bool known =
        port && std::ranges::any_of(served_->ingress, [&](const auto& rule) { return rule.port == *port; });
    if (!known) return Error{.code = ErrorCode::invalid_request, .detail = "X-EE-Ingress-Port is no ingress port"};
    port_ = static_cast<std::uint16_t>(*port);
    return std::nullopt;
  }
  const agent_api::IngressRule* rule = ingress_for(served_->ingress, path_);
  if (rule == nullptr) return Error{.code = ErrorCode::not_found, .detail = "no ingress has this path"};
  port_ = static_cast<std::uint16_t>(rule->port);
  return std::nullopt;
}

/// The platform's own fields are not the workload's business, but for the two that say on whose behalf it is called,
/// and those only when the control plane has set them.
void WorkloadTraffic::Policy::write_fields(const net::RequestHead& head) {
  request_.append(head.method).append(" ").append(head.path);
  if (!head.query.empty()) request_.append("?").append(head.query);
  request_ += " HTTP/1.1\r\n";
  const net::HopFields hop(head.fields);
  for (const net::HeadField& field : head.fields) {
    if (hop.drops(field.name) || net::begins_like(field.name, "cf-access-")) continue;
    if (net::begins_like(field.name, "x-ee-")) {
      const bool told = net::equal_ignoring_case(field.name, "X-EE-Service") ||
                        net::equal_ignoring_case(field.name, "X-EE-Deployment");
      if (!asserted_ || !told) continue;
    }
    net::append_field(request_, field.name, field.value);
  }
}

void WorkloadTraffic::Policy::choose(int, net::Exchange&, Chosen chosen) {
  if (refused_) {
    net::Response answer{.status = problem_status(*refused_), .body = problem_json(*refused_, request_id_)};
    answer.code = slug(refused_->code);
    answer.headers = {{"Content-Type", std::string(kProblemContentType)},
                      {"X-EE-Agent-Error", std::string(slug(refused_->code))},
                      {"Cache-Control", "no-store"}};
    if (!agent_id_.empty()) answer.headers.push_back({"X-EE-Agent", agent_id_});
    if (refused_->retry_after)
      answer.headers.push_back({"Retry-After", std::to_string(refused_->retry_after->count())});
    return chosen(std::unexpected(std::move(answer)));
  }
  // Connections are not shared between revisions: a new one may listen at the same port.
  chosen(net::ForwardTarget{
      .pool_key = served_->deployment_id + '/' + std::to_string(served_->revision) + '/' + std::to_string(port_),
      .address = traffic_.address_,
      .port = port_});
}

/// A workload cannot speak as the agent.
void WorkloadTraffic::Policy::write_response(const net::ResponseHead& head, std::string& fields) {
  const net::HopFields hop(head.fields);
  for (const net::HeadField& field : head.fields)
    if (!hop.drops(field.name) && !net::begins_like(field.name, "x-ee-"))
      net::append_field(fields, field.name, field.value);
  if (!agent_id_.empty()) net::append_field(fields, "X-EE-Agent", agent_id_);
}

net::Response WorkloadTraffic::Policy::refusal(ErrorCode code) {
  const ErrorCode told = code == ErrorCode::upstream_connect_failed ? ErrorCode::workload_unreachable : code;
  const Error error{.code = told, .detail = "the workload did not answer"};
  net::Response answer{.status = problem_status(error), .body = problem_json(error, request_id_)};
  answer.code = slug(told);
  answer.headers = {{"Content-Type", std::string(kProblemContentType)},
                    {"X-EE-Agent-Error", std::string(slug(told))},
                    {"Cache-Control", "no-store"}};
  if (!agent_id_.empty()) answer.headers.push_back({"X-EE-Agent", agent_id_});
  return answer;
}

bool WorkloadTraffic::Policy::must_end(bool) {
  const auto now = traffic_.served_();
  return !now || !now->running || now->deployment_id != served_->deployment_id || now->revision != served_->revision;
}

// ---- all of them ---------------------------------------------------------------------------------------------------

WorkloadTraffic::WorkloadTraffic(const Board& board, Served served, const std::string& workload_address)
    : board_(board),
      served_(std::move(served)),
      address_(net::parse_ip(workload_address).value_or(net::IpAddress{})),
      route_{.route_template = "/{workload}", .max_body_bytes = kAnySize, .security_headers = false},
      assertions_(board) {}

std::shared_ptr<net::StreamHandler> WorkloadTraffic::open(const net::RequestHead&, const ClassifiedPath& path) {
  return forwarder_.open(std::make_unique<Policy>(*this, path.normal), route_);
}

}  // namespace ee::agent
