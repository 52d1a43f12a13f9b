#include "agent/workload/public_evidence.h"

#include <boost/json/value.hpp>

#include "agent/event_log.h"
#include "attestation/binding.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxAnswer = 256UL * 1024;

struct Channel {
  std::string tls = "edge";
  std::optional<std::string> spki_sha256 = {};
};
BOOST_DESCRIBE_STRUCT(Channel, (), (tls, spki_sha256))

/// What runs: hashes for everybody, names only where they are public.
struct HiddenDeployment {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  std::string compose_sha256;
};
BOOST_DESCRIBE_STRUCT(HiddenDeployment, (), (deployment_id, assignment_epoch, revision, compose_sha256))
struct NamedDeployment {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  std::string compose_sha256;
  std::string service;
  std::optional<std::string> app;
  std::map<std::string, std::string> images;
};
BOOST_DESCRIBE_STRUCT(NamedDeployment, (),
                      (deployment_id, assignment_epoch, revision, compose_sha256, service, app, images))

struct EvidenceAnswer {
  std::string purpose = "public";
  std::string nonce;
  std::string audience;
  std::string vm_name;
  std::string agent_id;
  std::string signing_key;
  std::string sealing_key;
  std::string binding;
  std::string quote;
  std::string quote_sha256;
  std::optional<std::string> event_log;
  std::vector<agent_api::WorkloadLogEntry> workload_log;
  boost::json::value deployment;
  std::optional<std::string> deployment_signature;
  Channel channel;
  UtcTime generated_at;
};
BOOST_DESCRIBE_STRUCT(EvidenceAnswer, (),
                      (purpose, nonce, audience, vm_name, agent_id, signing_key, sealing_key, binding, quote,
                       quote_sha256, event_log, workload_log, deployment, deployment_signature, channel, generated_at))

/// RFC 8785 text of what runs.
std::string deployment_text(const ServedWorkload& served, bool with_names) {
  if (with_names)
    return json::canonical_of(NamedDeployment{.deployment_id = served.deployment_id,
                                              .assignment_epoch = served.assignment_epoch,
                                              .revision = served.revision,
                                              .compose_sha256 = served.compose_sha256,
                                              .service = served.service,
                                              .app = served.app,
                                              .images = served.images})
        .value_or("");
  return json::canonical_of(HiddenDeployment{.deployment_id = served.deployment_id,
                                             .assignment_epoch = served.assignment_epoch,
                                             .revision = served.revision,
                                             .compose_sha256 = served.compose_sha256})
      .value_or("");
}

std::unexpected<Error> limited(Seconds retry_after) {
  Error out{.code = ErrorCode::rate_limited, .detail = "evidence is asked for too often"};
  out.retry_after = std::max(retry_after, Seconds(1));
  return std::unexpected(std::move(out));
}

}  // namespace

PublicEvidence::PublicEvidence(const AgentConfig& config, std::string vm_name, Board& board, const InstanceKeys& keys,
                               attestation::QuoteSource& quotes, const Host& host,
                               std::function<std::shared_ptr<const ServedWorkload>()> served, const WorkloadLog* log,
                               const Clock& clock)
    : config_(config),
      vm_name_(std::move(vm_name)),
      board_(board),
      keys_(keys),
      quotes_(quotes),
      host_(host),
      served_(std::move(served)),
      log_(log),
      total_({.count = 30, .period = 60s, .burst = 30}, clock, 1),
      by_source_({.count = 6, .period = 60s, .burst = 6}, clock, 4096) {}

/// A quote and the log that leads to its RTMR3: a workload that starts or stops in between is waited out.
Result<ByteVector> PublicEvidence::quote(std::span<const std::uint8_t, 32> nonce,
                                         std::vector<agent_api::WorkloadLogEntry>& log) {
  const auto binding = attestation::agent_binding(keys_.signing.public_key(), keys_.sealing.public_key(), vm_name_);
  const auto report_data =
      attestation::build_report_data(attestation::Purpose::public_, nonce, binding, config_.control_plane_url);
  for (int attempt = 0;; ++attempt) {
    if (log_ != nullptr) log = log_->entries();
    auto made = quotes_.generate(report_data.value);
    if (!made) return fail(ErrorCode::tdx_unavailable, made.error().detail);
    if (log_ == nullptr || attempt == 2 || log_->entries().size() == log.size()) return made;
  }
}

Result<std::string> PublicEvidence::make(std::string_view nonce, const Caller& caller) {
  const auto raw = from_hex_exact<32>(nonce);
  if (!raw || !is_lower_hex(nonce, 64))
    return fail(ErrorCode::invalid_request, "nonce must be 64 lower-case hex digits");
  const auto session = board_.session();
  if (!session) return fail(ErrorCode::agent_not_active, "not registered");
  if (!caller.source.empty())
    if (const auto taken = by_source_.take(caller.source); !taken.allowed) return limited(taken.retry_after);
  if (const auto taken = total_.take(""); !taken.allowed) return limited(taken.retry_after);
  const std::unique_lock one(one_quote_, std::try_to_lock);
  if (!one) return limited(1s);

  EvidenceAnswer out;
  const auto quoted = quote(*raw, out.workload_log);
  if (!quoted) return fail(quoted.error());
  out.nonce = nonce;
  out.audience = config_.control_plane_url;
  out.vm_name = vm_name_;
  out.agent_id = session->identity.agent_id;
  out.signing_key = to_base64(keys_.signing.public_key());
  out.sealing_key = to_base64(keys_.sealing.public_key());
  out.binding = to_hex(attestation::agent_binding(keys_.signing.public_key(), keys_.sealing.public_key(), vm_name_));
  out.quote = to_base64(*quoted);
  out.quote_sha256 = to_hex(sha256(*quoted));
  if (const auto events = read_event_log(host_)) out.event_log = to_base64(*events);
  if (const auto served = served_(); served && served->running) {
    const bool with_names = served->access == agent_api::WorkloadAccess::public_ || caller.may_see_names;
    const std::string text = deployment_text(*served, with_names);
    ByteVector input;
    append(input, "ee-evidence-v1");
    input.push_back(0);
    append(input, *raw);
    append(input, sha256(bytes_of(text)));
    auto value = json::parse(text);
    if (!value) return fail(ErrorCode::internal_error, "what runs has no canonical form");
    out.deployment = std::move(*value);
    out.deployment_signature = to_base64(keys_.signing.sign(input));
  }
  out.generated_at = board_.corrected_now();
  std::string text = json::write(out);
  if (text.size() > kMaxAnswer && out.event_log) {  // the least that a verifier can do without
    out.event_log.reset();
    text = json::write(out);
  }
  return text;
}

}  // namespace ee::agent
