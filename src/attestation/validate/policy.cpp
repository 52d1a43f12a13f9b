#include "attestation/validate/policy.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "common/json.h"

namespace ee::attestation {

namespace {

// Intel TDX Module 1.5 ABI, ATTRIBUTES.
constexpr std::uint64_t kDebug = 1;
constexpr std::uint64_t kTudReserved = 0xfe;  // bits 1 to 7
constexpr std::uint64_t kSeptVeDisable = std::uint64_t{1} << 28;
constexpr std::uint64_t kMigratable = std::uint64_t{1} << 29;

constexpr auto kCollateralSoon = std::chrono::hours(24);

template <class Range, class T>
bool contains(const Range& range, const T& value) {
  return std::ranges::find(range, value) != range.end();
}

bool is_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool is_current(bool enabled, const std::optional<UtcTime>& expires_at, UtcTime now) {
  return enabled && (!expires_at || now < *expires_at);
}

Verdict refused(ErrorCode reason) { return {.reason = reason}; }

/// A violated policy: the reason when strict, the warning else.
void violate(Verdict& verdict, Enforcement mode, ErrorCode reason, Warning warning) {
  if (mode == Enforcement::warn)
    verdict.warnings.push_back(warning);
  else if (!verdict.reason)
    verdict.reason = reason;
}

std::vector<int> differing_registers(const RtmrProfile& profile, const Facts& facts) {
  std::vector<int> out;
  for (std::size_t i = 0; i < profile.rtmrs.size(); ++i)
    if (profile.rtmrs[i] && *profile.rtmrs[i] != facts.rtmrs[i]) out.push_back(static_cast<int>(i));
  return out;
}

std::size_t equal_registers(const RtmrProfile& profile, const Facts& facts) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < profile.rtmrs.size(); ++i)
    if (profile.rtmrs[i] == facts.rtmrs[i]) ++count;
  return count;
}

/// Whether a profile speaks of this TD at all. One without any register would match everything: it never applies.
bool applies(const RtmrProfile& profile, const Facts& facts) {
  return facts.mrtd == profile.mrtd && is_current(profile.enabled, profile.expires_at, facts.evaluated_at) &&
         (!profile.node_size || *profile.node_size == facts.node_size) &&
         std::ranges::any_of(profile.rtmrs, [](const auto& rtmr) { return rtmr.has_value(); });
}

RtmrMismatch nearest(std::vector<const RtmrProfile*> profiles, const Facts& facts) {
  const auto* const best = *std::ranges::max_element(profiles, [&](const RtmrProfile* a, const RtmrProfile* b) {
    const auto a_equal = equal_registers(*a, facts);
    const auto b_equal = equal_registers(*b, facts);
    return a_equal != b_equal ? a_equal < b_equal : b->name < a->name;
  });
  return {.profile_id = best->id, .profile_name = best->name, .registers = differing_registers(*best, facts)};
}

struct StoredMismatch {
  std::string rtmr_profile;
  std::vector<int> registers;
};
BOOST_DESCRIBE_STRUCT(StoredMismatch, (), (rtmr_profile, registers))

/// Facts that are no policy but worth a warning.
std::vector<Warning> notices(const Facts& facts) {
  std::vector<Warning> out;
  if (facts.jwks_stale) out.push_back(Warning::jwks_stale);
  if (facts.emulated) out.push_back(Warning::emulated_quote);
  if (facts.collateral_next_update && *facts.collateral_next_update < facts.evaluated_at.get() + kCollateralSoon)
    out.push_back(Warning::collateral_expires_soon);
  return out;
}

}  // namespace

std::string_view to_string(Warning warning) {
  switch (warning) {
    case Warning::tcb_not_acceptable: return "tcb_not_acceptable";
    case Warning::tcb_advisory_denied: return "tcb_advisory_denied";
    case Warning::tcb_check_disabled: return "tcb_check_disabled";
    case Warning::rtmr_mismatch: return "rtmr_mismatch";
    case Warning::rtmr_no_baseline: return "rtmr_no_baseline";
    case Warning::rtmr_check_disabled: return "rtmr_check_disabled";
    case Warning::jwks_stale: return "jwks_stale";
    case Warning::emulated_quote: return "emulated_quote";
    case Warning::collateral_expires_soon: return "collateral_expires_soon";
  }
  std::abort();
}

std::string_view to_string(DecisionClass decision) {
  switch (decision) {
    case DecisionClass::accepted: return "accepted";
    case DecisionClass::refused: return "refused";
    case DecisionClass::retry: return "retry";
    case DecisionClass::unavailable: return "unavailable";
  }
  std::abort();
}

Facts facts_of(const Quote& quote, UtcTime evaluated_at, MrtdKind wanted_kind, std::string node_size) {
  const auto owned = [](FixedBytes<48> bytes) {
    Measurement out{};
    std::ranges::copy(bytes, out.begin());
    return out;
  };
  const auto service_td = quote.mrservicetd();
  return {.evaluated_at = evaluated_at,
          .wanted_kind = wanted_kind,
          .mrtd = owned(quote.mrtd()),
          .rtmrs = {owned(quote.rtmr(0)), owned(quote.rtmr(1)), owned(quote.rtmr(2)), owned(quote.rtmr(3))},
          .td_attributes = quote.td_attributes(),
          .has_service_td = service_td.has_value() && !is_zero(*service_td),
          .emulated = quote.is_emulated(),
          .node_size = std::move(node_size),
          .tcb_status = TcbStatus::Unknown};
}

std::string details_json(const RtmrMismatch& mismatch) {
  return json::write(StoredMismatch{.rtmr_profile = mismatch.profile_name, .registers = mismatch.registers});
}

Verdict check_td_attributes(const Facts& facts, const PolicySnapshot& policy) {
  const std::uint64_t attributes = facts.td_attributes;
  if ((attributes & kDebug) != 0) return refused(ErrorCode::td_debug_enabled);
  const bool acceptable = (attributes & kTudReserved) == 0 &&
                          ((attributes & kSeptVeDisable) != 0 || !policy.require_sept_ve_disable) &&
                          ((attributes & kMigratable) == 0 || policy.allow_migratable) &&
                          (!facts.has_service_td || policy.allow_service_td);
  if (!acceptable) return refused(ErrorCode::td_attributes_refused);
  return {};
}

Verdict check_mrtd(const Facts& facts, const TrustStore& trust, std::optional<TrustedMrtd>* used) {
  if (!facts.mrtd) return refused(ErrorCode::mrtd_missing);
  if (is_zero(*facts.mrtd)) return refused(ErrorCode::mrtd_untrusted);
  bool other_kind = false;
  for (const TrustedMrtd& entry : trust.mrtds) {
    if (entry.mrtd != *facts.mrtd || !is_current(entry.enabled, entry.expires_at, facts.evaluated_at)) continue;
    if (entry.kind == facts.wanted_kind.get()) {
      if (used != nullptr) *used = entry;
      return {};
    }
    other_kind = true;
  }
  return refused(other_kind ? ErrorCode::mrtd_wrong_kind : ErrorCode::mrtd_untrusted);
}

Verdict check_tcb(const Facts& facts, const PolicySnapshot& policy) {
  const TcbStatus status = facts.tcb_status;
  if (status == TcbStatus::Revoked) return refused(ErrorCode::tcb_revoked);
  const Enforcement mode = policy.tcb_mode;
  if (mode == Enforcement::disabled) return {.warnings = {Warning::tcb_check_disabled}};

  Verdict verdict;
  if (status == TcbStatus::Unknown || !contains(policy.allowed_tcb_statuses.get(), status))
    violate(verdict, mode, ErrorCode::tcb_not_acceptable, Warning::tcb_not_acceptable);
  const auto denied = [&](const std::string& id) { return contains(policy.denied_advisories.get(), id); };
  if (std::ranges::any_of(facts.advisories, denied))
    violate(verdict, mode, ErrorCode::tcb_advisory_denied, Warning::tcb_advisory_denied);
  return verdict;
}

RtmrVerdict check_rtmrs(const Facts& facts, const PolicySnapshot& policy, const TrustStore& trust) {
  RtmrVerdict verdict;
  std::vector<const RtmrProfile*> applicable;
  for (const RtmrProfile& profile : trust.profiles)
    if (applies(profile, facts)) applicable.push_back(&profile);
  for (const RtmrProfile* profile : applicable) {
    if (!differing_registers(*profile, facts).empty()) continue;
    verdict.profile = *profile;
    break;
  }
  const Enforcement mode = policy.rtmr_mode;
  if (mode == Enforcement::disabled) {
    verdict.warnings.push_back(Warning::rtmr_check_disabled);
  } else if (applicable.empty()) {
    violate(verdict, mode, ErrorCode::rtmr_no_baseline, Warning::rtmr_no_baseline);
  } else if (!verdict.profile) {
    verdict.mismatch = nearest(std::move(applicable), facts);
    violate(verdict, mode, ErrorCode::rtmr_mismatch, Warning::rtmr_mismatch);
  }
  return verdict;
}

bool is_undecided_refusal(ErrorCode reason) {
  using enum ErrorCode;
  // What the PCS says of a platform; the keys that the token service publishes; the clock and the settings of this
  // side, by which a token with a good signature is judged.
  constexpr std::array kUndecided = {fmspc_unknown,     tcb_info_mismatch,       ita_key_unknown,
                                     ita_key_unusable,  ita_issuer_invalid,      ita_audience_invalid,
                                     ita_token_expired, ita_token_not_yet_valid, ita_token_stale};
  return contains(kUndecided, reason);
}

DecisionClass decision_class(ErrorCode reason) {
  const ErrorInfo& info = error_info(reason);
  if (info.http_status >= 500 || info.http_status == 0 || is_undecided_refusal(reason))
    return DecisionClass::unavailable;
  // A nonce or request that does not fit says nothing about the TD.
  const bool about_the_td = info.http_status == 403 && info.area == "attestation" && !info.slug.starts_with("nonce_") &&
                            reason != ErrorCode::pop_signature_invalid;
  return about_the_td ? DecisionClass::refused : DecisionClass::retry;
}

Decision evaluate_policy(const Facts& facts, const PolicySnapshot& policy, const TrustStore& trust) {
  Decision out;
  const auto refuse = [&](ErrorCode reason) {
    out.decision = decision_class(reason);
    out.reason = reason;
    return out;
  };
  const auto warn = [&](const Verdict& verdict) {
    out.warnings.insert(out.warnings.end(), verdict.warnings.begin(), verdict.warnings.end());
  };
  if (facts.emulated && !policy.emulation_allowed) return refuse(ErrorCode::quote_emulated_refused);
  if (const auto verdict = check_td_attributes(facts, policy); verdict.reason) return refuse(*verdict.reason);
  if (const auto verdict = check_mrtd(facts, trust, &out.trusted_mrtd); verdict.reason) return refuse(*verdict.reason);

  const Verdict tcb = check_tcb(facts, policy);
  warn(tcb);
  if (tcb.reason) return refuse(*tcb.reason);
  const RtmrVerdict rtmrs = check_rtmrs(facts, policy, trust);
  warn(rtmrs);
  out.rtmr_profile = rtmrs.profile;
  out.rtmr_mismatch = rtmrs.mismatch;
  if (rtmrs.reason) return refuse(*rtmrs.reason);

  warn({.warnings = notices(facts)});
  out.decision = DecisionClass::accepted;
  return out;
}

CombinedVerdict combine_verdicts(VerifierMode mode, std::optional<Result<VerifierVerdict>> ita,
                                 std::optional<Result<VerifierVerdict>> dcap) {
  const auto present = [](std::optional<Result<VerifierVerdict>> verdict) -> Result<VerifierVerdict> {
    if (!verdict) return fail(ErrorCode::internal_verification_error, "a verdict is missing");
    return std::move(*verdict);
  };
  if (mode == VerifierMode::ita) return {.verdict = present(std::move(ita))};
  if (mode == VerifierMode::dcap) return {.verdict = present(std::move(dcap))};

  auto token = present(std::move(ita));
  auto native = present(std::move(dcap));
  if (!token) {
    if (native) return {.verdict = std::move(token)};
    return {.verdict = std::move(token), .other_reason = native.error().code};
  }
  if (!native) return {.verdict = std::move(native)};
  VerifierVerdict both{.status = worse(token->status, native->status), .advisories = std::move(token->advisories)};
  both.advisories.insert(both.advisories.end(), native->advisories.begin(), native->advisories.end());
  std::ranges::sort(both.advisories);
  both.advisories.erase(std::ranges::unique(both.advisories).begin(), both.advisories.end());
  return {.verdict = std::move(both)};
}

}  // namespace ee::attestation
