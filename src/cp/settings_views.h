#pragma once
#include "attestation/validate/policy_snapshot.h"
#include "attestation/verify/collateral_cache.h"
#include "attestation/verify/pcs_client.h"
#include "cp/domain/account.h"
#include "cp/domain/config.h"
#include "cp/domain/settings_registry.h"
#include "cp/http/proxy.h"
#include "cp/integration/cloudflare/cloudflare_types.h"
#include "cp/integration/intel_ta/intel_ta.h"
#include "cp/integration/stripe/stripe_types.h"
#include "cp/service/agent_endpoint.h"
#include "cp/service/auth_settings.h"
#include "cp/service/billing_settings.h"
#include "cp/service/challenge_service.h"
#include "cp/service/deployment_settings.h"
#include "cp/service/github_login.h"
#include "cp/service/github_oidc.h"
#include "cp/service/heartbeat.h"
#include "cp/service/registration.h"
#include "cp/service/stripe_settings.h"
#include "cp/service/tunnel_settings.h"
#include "cp/service/verification.h"

/// What each part of the control plane reads out of the settings in force. Pure; one place where keys meet meanings.
namespace ee::cp::views {

AuthSettings auth(const SettingValues& values, const Config& config);
SignupMode signup_mode(const SettingValues& values);
GithubLoginSettings github_login(const SettingValues& values);
GithubOidcSettings github_oidc(const SettingValues& values);
AgentSettings agents(const SettingValues& values);
HeartbeatSettings heartbeat(const SettingValues& values);
EndpointSettings agent_endpoint(const SettingValues& values, const Config& config);
ProxySettings proxy(const SettingValues& values);
TunnelSettings tunnels(const SettingValues& values, const Config& config);
/// Keys of settings that are empty and without which no call can be made.
std::vector<std::string> missing_of_cloudflare(const SettingValues& values);
cloudflare::CloudflareConfig cloudflare(const SettingValues& values);
stripe::StripeConfig stripe_calls(const SettingValues& values);
StripeSettings stripe(const SettingValues& values);
RegistrationSettings registration(const SettingValues& values, const Config& config);
ChallengePolicy challenge(const SettingValues& values);
VerificationLimits verification(const SettingValues& values);
IntelTaConfig intel_ta(const SettingValues& values);
BillingSettings billing(const SettingValues& values);
DeploymentSettings deployments(const SettingValues& values, const Config& config);
attestation::PcsEndpoints pcs(const SettingValues& values);
attestation::CollateralPolicy collateral(const SettingValues& values);
/// Versions are the caller's.
attestation::PolicySettings policy(const SettingValues& values, const Config& config);

}  // namespace ee::cp::views
