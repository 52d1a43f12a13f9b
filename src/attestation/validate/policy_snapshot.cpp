#include "attestation/validate/policy_snapshot.h"

#include <algorithm>
#include <string_view>

#include "common/json.h"

namespace ee::attestation {

namespace {

constexpr std::size_t kMaxAllowedStatuses = 8;
constexpr std::size_t kMaxDeniedAdvisories = 200;

/// The snapshot as stored. Member names are the format's.
struct StoredPolicy {
  VerifierMode verifier_mode;
  std::string nonce;
  Enforcement tcb_mode;
  Enforcement rtmr_mode;
  std::vector<TcbStatus> allowed_tcb_statuses;
  std::vector<std::string> denied_advisories;
  EventLogMode event_log_mode;
  bool require_sept_ve_disable;
  bool allow_migratable;
  bool allow_service_td;
  ItaMinter ita_minter;
  bool emulation_allowed;
  std::int64_t settings_version;
  std::int64_t trusted_mrtd_version;
  std::optional<std::string> rtmr_profile_id;
};
BOOST_DESCRIBE_STRUCT(StoredPolicy, (),
                      (verifier_mode, nonce, tcb_mode, rtmr_mode, allowed_tcb_statuses, denied_advisories,
                       event_log_mode, require_sept_ve_disable, allow_migratable, allow_service_td, ita_minter,
                       emulation_allowed, settings_version, trusted_mrtd_version, rtmr_profile_id))

std::unexpected<Error> invalid(std::string_view setting) {
  return fail(ErrorCode::policy_invalid, "attestation." + std::string(setting));
}

/// The enumerator called `text`, or nothing.
template <class Enum>
std::optional<Enum> enumerator(std::string_view text) {
  std::optional<Enum> found;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<Enum>>([&](auto described) {
    if (text == described.name) found = described.value;
  });
  return found;
}

/// `INTEL-SA-` and five digits.
bool is_advisory(std::string_view text) {
  constexpr std::string_view kPrefix = "INTEL-SA-";
  return text.size() == kPrefix.size() + 5 && text.starts_with(kPrefix) &&
         std::ranges::all_of(text.substr(kPrefix.size()), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::vector<TcbStatus>> allowed_statuses(const std::vector<std::string>& texts) {
  if (texts.empty() || texts.size() > kMaxAllowedStatuses) return std::nullopt;
  std::vector<TcbStatus> out;
  for (const std::string& text : texts) {
    const auto status = tcb_status_of(text);
    if (!status || *status == TcbStatus::Revoked || *status == TcbStatus::Unknown) return std::nullopt;
    out.push_back(*status);
  }
  return out;
}

/// Intel Trust Authority is used and something that it needs is not set.
bool verifier_missing(const PolicySettings& settings, VerifierMode mode, ItaMinter minter) {
  if (mode == VerifierMode::dcap) return false;
  if (!settings.ita_issuer_set || !settings.ita_jwks_url_set) return true;
  return minter == ItaMinter::control_plane && !settings.ita_api_key_set;
}

}  // namespace

Result<PolicySnapshot> freeze_policy(const PolicySettings& settings) {
  const auto verifier_mode = enumerator<VerifierMode>(settings.verifier_mode);
  if (!verifier_mode) return invalid("verifier_mode");
  const auto ita_minter = enumerator<ItaMinter>(settings.ita_minter);
  if (!ita_minter) return invalid("ita_minter");
  if (verifier_missing(settings, *verifier_mode, *ita_minter)) return invalid("verifier_mode: verifier_missing");
  const auto tcb_mode = enumerator<Enforcement>(settings.tcb_mode);
  if (!tcb_mode) return invalid("tcb_mode");
  const auto rtmr_mode = enumerator<Enforcement>(settings.rtmr_mode);
  if (!rtmr_mode) return invalid("rtmr_mode");
  const auto event_log_mode = enumerator<EventLogMode>(settings.event_log_mode);
  if (!event_log_mode) return invalid("event_log_mode");
  const auto statuses = allowed_statuses(settings.allowed_tcb_statuses);
  if (!statuses) return invalid("allowed_tcb_statuses");
  if (settings.denied_advisories.size() > kMaxDeniedAdvisories ||
      !std::ranges::all_of(settings.denied_advisories, is_advisory))
    return invalid("denied_advisories");

  return PolicySnapshot{.verifier_mode = *verifier_mode,
                        .tcb_mode = *tcb_mode,
                        .rtmr_mode = *rtmr_mode,
                        .allowed_tcb_statuses = *statuses,
                        .denied_advisories = settings.denied_advisories,
                        .event_log_mode = *event_log_mode,
                        .require_sept_ve_disable = settings.require_sept_ve_disable,
                        .allow_migratable = settings.allow_migratable,
                        .allow_service_td = settings.allow_service_td,
                        .ita_minter = *ita_minter,
                        .emulation_allowed = settings.emulation_allowed,
                        .settings_version = settings.settings_version,
                        .trusted_mrtd_version = settings.trusted_mrtd_version};
}

std::string to_json(const PolicySnapshot& policy, const std::optional<std::string>& rtmr_profile_id) {
  return json::write(StoredPolicy{.verifier_mode = policy.verifier_mode,
                                  .nonce = "required",
                                  .tcb_mode = policy.tcb_mode,
                                  .rtmr_mode = policy.rtmr_mode,
                                  .allowed_tcb_statuses = policy.allowed_tcb_statuses,
                                  .denied_advisories = policy.denied_advisories,
                                  .event_log_mode = policy.event_log_mode,
                                  .require_sept_ve_disable = policy.require_sept_ve_disable,
                                  .allow_migratable = policy.allow_migratable,
                                  .allow_service_td = policy.allow_service_td,
                                  .ita_minter = policy.ita_minter,
                                  .emulation_allowed = policy.emulation_allowed,
                                  .settings_version = policy.settings_version,
                                  .trusted_mrtd_version = policy.trusted_mrtd_version,
                                  .rtmr_profile_id = rtmr_profile_id});
}

}  // namespace ee::attestation
