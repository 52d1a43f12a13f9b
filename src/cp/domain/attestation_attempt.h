#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/time.h"

namespace ee::cp {

/// Steps whose duration is measured (`ee_attestation_duration_seconds{step}`); `all` is the whole attempt.
inline constexpr std::array<std::string_view, 10> kVerificationSteps = {
    "all",           "quote",     "challenge", "nonce",     "report_data",
    "td_attributes", "verifiers", "trust",     "event_log", "unchanged"};

struct StepTime {
  std::string_view name;  ///< of kVerificationSteps
  SteadyTime::duration took{};
};

/// What is known of one attempt to attest, gathered as the pipeline goes, so that a refusal's audit row says as much as
/// an acceptance's. Never holds a nonce, a token or a key.
struct AttestationAttempt {
  bool audited = false;  ///< step 1 was passed: exactly one terminal audit row belongs to this attempt
  std::string purpose;   ///< `register`, `refresh`
  std::string request_id;
  std::string source_ip;
  std::optional<std::string> vm_name = {};
  std::optional<std::string> agent_id = {};
  std::string node_size = {};
  bool request_signed = false;  ///< the request is signed by the instance's key: it comes from the TD itself
  bool quote_verified = false;  ///< a verifier found the quote genuine
  std::optional<std::string> nonce_id = {};
  std::optional<std::string> quote_sha256 = {};
  std::optional<std::string> mrtd = {};
  std::array<std::optional<std::string>, 4> rtmrs = {};
  std::optional<std::string> td_attributes = {};
  std::optional<std::string> tcb_status = {};
  std::optional<std::string> fmspc = {};
  std::vector<std::string> advisory_ids = {};
  std::optional<std::string> ita_token_sha256 = {};
  std::string verifier_mode = {};
  std::string policy_snapshot = "{}";  ///< JSON
  std::string details = "{}";          ///< JSON, at most 8 KiB
  std::vector<std::string> warnings = {};
  /// Of two verifiers that both failed, the reason of the one whose reason is not the attempt's.
  std::optional<ErrorCode> other_reason = {};
  std::vector<StepTime> steps = {};  ///< those that were begun, the last one may have refused
};

}  // namespace ee::cp
