#include "agent/evidence.h"

#include <algorithm>

#include "agent/event_log.h"

namespace ee::agent {

Result<InstanceKeys> InstanceKeys::generate(Random& random) {
  auto signing = Ed25519PrivateKey::generate(random);
  auto sealing = X25519KeyPair::generate(random);
  if (!signing || !sealing) return fail(ErrorCode::internal_error, "no random bytes for the instance keys");
  return InstanceKeys{.signing = std::move(*signing), .sealing = std::move(*sealing)};
}

CallResult<void> EvidenceMaker::check(const agent_api::ChallengeAnswer& challenge, std::string_view purpose) const {
  if (challenge.purpose != purpose)
    return std::unexpected(
        CallFailure{.code = "bad_answer", .detail = "a challenge for another purpose", .reason = {}});
  if (challenge.audience != config_.control_plane_url)
    return refuse(ErrorCode::audience_mismatch, "the control plane calls itself otherwise than control_plane_url");
  if (std::ranges::find(challenge.accept, config_.evidence) == challenge.accept.end())
    return refuse(ErrorCode::evidence_kind_refused, "the control plane does not accept our kind of evidence");
  return {};
}

CallResult<agent_api::Evidence> EvidenceMaker::make(const agent_api::ChallengeAnswer& challenge,
                                                    attestation::Purpose purpose, const std::stop_token& stop) {
  const auto nonce = from_hex_exact<32>(challenge.nonce);
  if (!nonce) return std::unexpected(CallFailure{.code = "bad_answer", .detail = "nonce", .reason = {}});
  const auto signing_key = keys_.signing.public_key();
  const auto binding = attestation::agent_binding(signing_key, keys_.sealing.public_key(), vm_name_);
  const auto report_data = attestation::build_report_data(purpose, *nonce, binding, config_.control_plane_url);
  // A workload that starts or stops while the quote is made would leave log and register apart.
  const auto measured = [this] { return workload_log_ ? workload_log_() : std::vector<agent_api::WorkloadLogEntry>(); };
  auto workloads = measured();
  auto quote = quotes_.generate(report_data.value);
  for (int again = 0; quote && again < 3; ++again) {
    auto now = measured();
    if (now.size() == workloads.size()) break;
    workloads = std::move(now);
    quote = quotes_.generate(report_data.value);
  }
  if (!quote) return refuse(quote.error().code, quote.error().detail);

  agent_api::Evidence out{.kind = config_.evidence,
                          .quote = to_base64(*quote),
                          .intel_ta_token = {},
                          .event_log = {},
                          .workload_log = std::move(workloads)};
  if (challenge.event_log != agent_api::EventLogMode::disabled) {
    if (const auto log = read_event_log(host_)) out.event_log = to_base64(*log);
    if (!out.event_log && challenge.event_log == agent_api::EventLogMode::required)
      return refuse(ErrorCode::event_log_missing, "the control plane wants the event log, and this VM shows none");
  }
  if (config_.evidence == agent_api::EvidenceKind::ita) {
    if (!mint_) return refuse(ErrorCode::verifier_unavailable, "nobody mints tokens");
    auto token = mint_(*quote, report_data.preimage, stop);
    if (!token) return refuse(token.error().code, token.error().detail);
    out.intel_ta_token = std::move(*token);
  }
  return out;
}

}  // namespace ee::agent
