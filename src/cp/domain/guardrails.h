#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/domain/config.h"
#include "cp/domain/settings_registry.h"

namespace ee::cp {

/// A safety rule of staging and production that is broken (05 section 1.3).
struct GuardrailViolation {
  std::string_view slug;             ///< `strict_policy_required`, ...
  std::optional<Setting> setting;    ///< that breaks it; nothing when a start-up variable does
  std::string detail;                ///< one line, without values of secrets
  std::vector<Setting> others = {};  ///< settings that have a part in it
  bool operator==(const GuardrailViolation&) const = default;
};

/// All slugs of rules over settings, for metrics.
inline constexpr std::array<std::string_view, 9> kSettingGuardrails = {
    "strict_policy_required", "verifier_missing",     "cloudflare_missing", "gcp_missing",
    "gcp_image_not_pinned",   "github_oauth_missing", "stripe_test_key",    "simulated_payment_forbidden",
    "insecure_base_url"};

/// Rules over settings: checked at start, before a setting is written and whenever settings are read anew. Empty in
/// dev.
std::vector<GuardrailViolation> setting_violations(const SettingValues& values, const SettingsContext& context);

/// Rules over the start-up configuration. In dev only that this program can emulate TDX when told to. The database
/// file's permissions are checked by whoever opens it.
std::vector<GuardrailViolation> config_violations(const Config& config);

/// What an operator should know although it is allowed here (staging with EE_ALLOW_RELAXED_POLICY): logged at WARN and
/// audited as `policy_relaxed`.
std::vector<GuardrailViolation> relaxed_policies(const SettingValues& values, const SettingsContext& context);

/// Rules of production that staging may break: logged at WARN when they begin to be broken.
std::vector<GuardrailViolation> guardrail_warnings(const SettingValues& values, const SettingsContext& context);

}  // namespace ee::cp
