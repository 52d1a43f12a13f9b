// Composition of what administrators see of attestation, and its gauges.
#include "cp/app_parts.h"
#include "cp/settings_views.h"

namespace ee::cp {
namespace {

namespace att = attestation;

std::int64_t seconds_between(UtcTime from, UtcTime to) {
  return std::chrono::duration_cast<Seconds>(to - from).count();
}

std::optional<std::string> fmspc_of(const std::string& cache_key) {
  constexpr std::string_view kTcb = "tcb:";
  if (!cache_key.starts_with(kTcb)) return std::nullopt;
  return cache_key.substr(kTcb.size(), cache_key.find(':', kTcb.size()) - kTcb.size());
}

AttestationStatusView status_of(App::Parts& parts) {
  AttestationStatusView view;
  if (const auto policy = parts.attestation_policy()) {
    view.verifier_mode = name_of(policy->verifier_mode.get());
    view.ita_minter = name_of(policy->ita_minter.get());
    view.tcb_mode = name_of(policy->tcb_mode.get());
    view.rtmr_mode = name_of(policy->rtmr_mode.get());
    view.emulation_allowed = policy->emulation_allowed.get();
    view.settings_version = policy->settings_version;
    view.trust_version = policy->trusted_mrtd_version;
  } else {
    view.policy_error = std::string(slug(policy.error().code));
  }
  view.verifications_in_flight = static_cast<std::int64_t>(parts.verifier->in_flight());
  view.sweep_held = parts.sweeper->held();
  view.own_quote_at = parts.own_attestation->cached_at();
  if (const auto age = parts.intel_ta->keys().age())
    view.jwks.age_seconds = std::chrono::duration_cast<Seconds>(*age).count();
  view.jwks.keys = static_cast<std::int64_t>(parts.intel_ta->keys().key_count());
  for (const att::CollateralState& state : parts.collateral_cache->states())
    view.collateral.push_back(
        {.key = state.cache_key,
         .fmspc = fmspc_of(state.cache_key),
         .fetched_at = state.fetched_at,
         .next_update_at = state.next_update_at,
         .last_error = state.last_error ? std::optional(std::string(slug(*state.last_error))) : std::nullopt});
  view.last_errors = parts.dependency_errors.all();
  return view;
}

/// Values that are looked up when metrics are read (01 section 23).
void add_gauges(App::Parts& parts) {
  const auto in_flight = parts.metrics.gauge("ee_attestation_in_flight", "Verifications that run now.");
  const auto held =
      parts.metrics.gauge("ee_attestation_sweep_held", "Agents whose quarantine waits for an administrator.");
  const auto jwks_age = parts.metrics.gauge("ee_jwks_age_seconds", "Age of the token issuer's keys; -1 without any.");
  const auto quote_age = parts.metrics.gauge("ee_cp_quote_age_seconds", "Age of the own quote; -1 without one.");
  const auto expiry =
      parts.metrics.gauge("ee_collateral_expiry_seconds", "Until the first piece of collateral of a kind is over.",
                          {{"kind", {"root_crl", "pck_crl", "tcb_info", "qe_identity"}}});
  parts.metrics.on_collect([&parts, in_flight, held, jwks_age, quote_age, expiry] {
    const UtcTime now = parts.world.clock.now();
    in_flight.set(static_cast<double>(parts.verifier->in_flight()));
    held.set(static_cast<double>(parts.sweeper->held()));
    const auto keys = parts.intel_ta->keys().age();
    jwks_age.set(keys ? static_cast<double>(keys->count()) / 1e3 : -1);
    const auto quoted = parts.own_attestation->cached_at();
    quote_age.set(quoted ? static_cast<double>(seconds_between(*quoted, now)) : -1);
    std::map<std::string_view, std::int64_t> first;
    for (const att::CollateralState& state : parts.collateral_cache->states()) {
      const std::int64_t left = seconds_between(now, state.next_update_at);
      const auto [known, added] = first.emplace(att::to_string(state.kind), left);
      if (!added) known->second = std::min(known->second, left);
    }
    for (const auto& [kind, left] : first) expiry.with({kind}).set(static_cast<double>(left));
  });
}

}  // namespace

void build_attestation_admin(App::Parts& parts) {
  parts.attestation_admin = std::make_unique<AttestationAdmin>(
      AttestationAdmin::Parts{.database = *parts.database,
                              .trust = *parts.trust,
                              .assignments = parts.assignments,
                              .dcap = parts.dcap,
                              .collateral = *parts.collateral,
                              .policy = parts.attestation_policy,
                              .limits = [&parts] { return views::verification(parts.snapshot()->resolved().values); },
                              .cursors = *parts.cursors,
                              .clock = parts.world.clock,
                              .random = parts.world.random,
                              .settle_refusals = [&parts] { parts.registration->settle_refusals(); }});
  parts.attestation_admin_routes = std::make_unique<AttestationAdminRoutes>(AttestationAdminRoutes{
      .admin = *parts.attestation_admin,
      .sweeper = *parts.sweeper,
      .cursors = *parts.cursors,
      .status = [&parts] { return status_of(parts); },
      .wake_sweeper = [line = parts.wake_line] { JobWaker::wake(line, "attestation_sweeper"); }});
  add_gauges(parts);
}

}  // namespace ee::cp
