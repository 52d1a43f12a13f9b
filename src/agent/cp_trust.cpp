#include "agent/cp_trust.h"

#include <fmt/format.h>

#include "attestation/binding.h"
#include "attestation/validate/emulated_trust.h"
#include "attestation/validate/policy.h"
#include "common/log.h"

namespace ee::agent {
namespace {

namespace at = attestation;

at::TrustStore trust_of(const std::vector<TrustedControlPlane>& trusted) {
  at::TrustStore out;
  for (std::size_t i = 0; i < trusted.size(); ++i) {
    at::TrustedMrtd mrtd;
    mrtd.mrtd = trusted[i].mrtd;
    mrtd.kind = at::MrtdKind::control_plane;
    mrtd.source = at::TrustSource::environment;
    out.mrtds.push_back(mrtd);
    at::RtmrProfile profile;
    profile.id = fmt::format("trusted_cp_mrtds[{}]", i);
    profile.name = profile.id;
    profile.mrtd = trusted[i].mrtd;
    profile.rtmrs = trusted[i].rtmrs;
    profile.source = at::TrustSource::environment;
    out.profiles.push_back(profile);
  }
  return out;
}

at::PolicySnapshot strict_policy(bool emulation_allowed) {
  return {.verifier_mode = at::VerifierMode::dcap,
          .tcb_mode = at::Enforcement::strict,
          .rtmr_mode = at::Enforcement::strict,
          .allowed_tcb_statuses = std::vector{at::TcbStatus::UpToDate},
          .denied_advisories = std::vector<std::string>{},
          .event_log_mode = at::EventLogMode::disabled,
          .require_sept_ve_disable = true,
          .allow_migratable = false,
          .allow_service_td = false,
          .ita_minter = at::ItaMinter::control_plane,
          .emulation_allowed = emulation_allowed};
}

}  // namespace

CpQuoteJudge::CpQuoteJudge(const std::vector<TrustedControlPlane>& trusted,
                           std::optional<at::EmulationAllowed> emulation,
                           std::shared_ptr<at::CollateralSource> collateral)
    : emulation_allowed_(emulation.has_value()), trust_(trust_of(trusted)), collateral_(std::move(collateral)) {
#ifdef EE_EMULATOR
  if (emulation) trust_ = at::merge_trust(std::move(trust_), at::emulated_trust(*emulation));
#endif
}

Result<void> CpQuoteJudge::judge(const at::Quote& quote, UtcTime now, std::stop_token stop) const {
  const auto emulated = emulation_allowed_ ? at::EmulatedQuotes::allow : at::EmulatedQuotes::refuse;
  if (auto allowed = at::check_emulation(quote, emulated); !allowed) return allowed;
  if (!collateral_) return fail(ErrorCode::collateral_unavailable, "no source of collateral");
  const auto genuine =
      verifier_.verify(quote, *collateral_, {.allow_emulator = emulation_allowed_}, now, std::move(stop));
  if (!genuine) return fail(genuine.error());
  at::Facts facts = at::facts_of(quote, now, at::MrtdKind::control_plane, "");
  facts.tcb_status = genuine->status;
  facts.advisories = genuine->advisories;
  facts.collateral_next_update = genuine->collateral_next_update;
  const at::Decision decision = at::evaluate_policy(facts, strict_policy(emulation_allowed_), trust_);
  if (decision.decision != at::DecisionClass::accepted)
    return fail(decision.reason.value_or(ErrorCode::internal_verification_error), "refused by policy");
  return {};
}

Result<SignerSet> check_control_plane_binding(const at::Quote& quote, const agent_api::SigningKeys& keys,
                                              const ByteArray<32>& nonce, std::string_view audience) {
  auto signers = SignerSet::from_wire(keys);
  if (!signers) return signers;
  const auto binding = at::control_plane_binding(signers->keys());
  const at::ReportData expected = at::build_report_data(at::Purpose::control_plane, nonce, binding, audience);
  if (!constant_time_equal(quote.report_data(), expected.value))
    return fail(ErrorCode::report_data_mismatch, "the quote does not bind this nonce, audience and key set");
  return signers;
}

ControlPlaneTrust::ControlPlaneTrust(const AgentConfig& config, ControlPlaneClient& client, const CpQuoteJudge& judge,
                                     const Clock& clock, Random& random)
    : config_(config), client_(client), judge_(judge), clock_(clock), random_(random) {}

CallResult<SignerSet> ControlPlaneTrust::establish(std::stop_token stop) {
  if (!config_.cp_signing_keys.empty()) return SignerSet(config_.cp_signing_keys);
  if (config_.cp_attestation_mode == CpAttestationMode::disabled)
    return unverified("no key is pinned and cp_attestation_mode is disabled", {});
  if (verified_) return *verified_;
  auto verified = verify_quote(std::move(stop));
  if (verified) {
    verified_ = *verified;
    log::info("trust", "control plane verified by its quote");
    return verified;
  }
  const std::string why = fmt::format("{}: {}", verified.error().code, verified.error().detail);
  if (verified.error().code == "cancelled") return verified;
  if (config_.cp_attestation_mode == CpAttestationMode::required) {
    auto refused = refuse(ErrorCode::cp_untrusted, why);
    refused.error().retry_after = verified.error().retry_after;
    return refused;
  }
  return unverified(why, verified.error().retry_after);
}

/// Nobody vouches for the control plane. That is acceptable in development only.
CallResult<SignerSet> ControlPlaneTrust::unverified(std::string why, std::optional<Seconds> retry_after) {
  if (config_.env != Environment::dev) {
    auto refused = refuse(ErrorCode::cp_untrusted, std::move(why));
    refused.error().retry_after = retry_after;
    return refused;
  }
  log::warn("trust", "the control plane is not verified; going on, since this is env dev", {{"reason", why}});
  return SignerSet();
}

void ControlPlaneTrust::learn(const SignerSet& keys) {
  if (verified_) verified_ = keys;
}

CallResult<SignerSet> ControlPlaneTrust::verify_quote(std::stop_token stop) {
  ByteArray<32> nonce{};
  if (!random_.fill(nonce)) return refuse(ErrorCode::internal_error, "no random bytes");
  const auto answer = client_.attestation(to_hex(nonce), stop);
  if (!answer) return std::unexpected(answer.error());
  const auto quote = at::parse_quote_base64(answer->quote, at::TrailingPolicy::zeros);
  if (!quote) return refuse(quote.error().code, quote.error().detail);
  auto signers = check_control_plane_binding(*quote, answer->signing_keys, nonce, config_.control_plane_url);
  if (!signers) return refuse(signers.error().code, signers.error().detail);
  const auto judged = judge_.judge(*quote, clock_.now(), std::move(stop));
  if (!judged) return refuse(judged.error().code, judged.error().detail);
  return std::move(*signers);
}

}  // namespace ee::agent
