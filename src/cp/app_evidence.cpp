// Composition of everything that judges evidence, and of the control plane's own.
#include <memory>
#include <mutex>

#include "attestation/tsm/configfs_tsm.h"
#include "attestation/validate/emulated_trust.h"
#include "common/crypto.h"
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/settings_views.h"
#ifdef EE_EMULATOR
#include "attestation/tsm/emulated_collateral.h"
#include "attestation/tsm/emulated_tdx.h"
#endif

namespace ee::cp {
namespace {

namespace att = attestation;

#ifdef EE_EMULATOR
std::optional<att::EmulationAllowed> emulation(const App::Parts& parts) {
  if (!parts.config.settings_context().emulation_allowed) return std::nullopt;
  auto allowed = att::EmulationAllowed::check(to_string(parts.config.stage), parts.config.allow_emulated_tdx);
  if (!allowed) return std::nullopt;
  return *allowed;
}
#endif

/// Real TDX where the kernel has it; else, where that is allowed, the emulator; else none.
std::unique_ptr<att::QuoteSource> own_quotes(App::Parts& parts) {
  auto tsm = std::make_unique<att::ConfigfsTsm>(parts.config.tsm_root, parts.world.clock, parts.world.random);
  if (tsm->present()) {
    tsm->remove_stale_entries();
    return tsm;
  }
#ifdef EE_EMULATOR
  if (const auto allowed = emulation(parts)) {
    auto emulated = att::EmulatedTdx::open(*allowed, parts.config.emulated_tdx_dir, att::EmulatedRole::control_plane,
                                           parts.world.clock);
    if (emulated) return std::move(*emulated);
    log::warn("attestation", "the emulated TDX cannot be used", {{"error", emulated.error().detail}});
  }
#endif
  return nullptr;
}

/// Of this boot; an emulator has none.
std::optional<std::string> own_event_log(const App::Parts& parts) {
  if (dynamic_cast<const att::ConfigfsTsm*>(parts.quotes.get()) == nullptr) return std::nullopt;
  return event_log_of("/sys/firmware/acpi/tables/data/CCEL");
}

att::TrustStore environment_trust(const App::Parts& parts) {
  att::TrustStore trust = parts.config.trust;
#ifdef EE_EMULATOR
  if (const auto allowed = emulation(parts)) {
    const att::TrustStore emulated = att::emulated_trust(*allowed);
    trust.mrtds.insert(trust.mrtds.end(), emulated.mrtds.begin(), emulated.mrtds.end());
    trust.profiles.insert(trust.profiles.end(), emulated.profiles.begin(), emulated.profiles.end());
  }
#endif
  return trust;
}

std::shared_ptr<att::CollateralSource> collateral_source(App::Parts& parts) {
  if (parts.world.collateral) return parts.world.collateral;
#ifdef EE_EMULATOR
  const auto allowed = emulation(parts);
  if (allowed && parts.world.collateral_anchor == nullptr)
    return std::make_shared<att::EmulatedCollateralSource>(*allowed, parts.collateral_cache);
#endif
  return parts.collateral_cache;
}

Result<TokenVerdict> token_verdict(App::Parts& parts, const TokenRequest& asked) {
  const IntelTaConfig config = views::intel_ta(parts.snapshot()->resolved().values);
  const auto verdict =
      asked.agent_token ? parts.intel_ta->verify(*asked.agent_token, asked.quote, asked.preimage, config, asked.stop)
                        : parts.intel_ta->appraise(asked.quote, asked.preimage, config, asked.request_id, asked.stop);
  if (!verdict) {
    if (error_info(verdict.error().code).http_status == 503)
      parts.dependency_errors.note("intel_ta", verdict.error().code);
    return std::unexpected(verdict.error());
  }
  return TokenVerdict{.tcb = {.status = verdict->claims.tcb_status, .advisories = verdict->claims.advisory_ids},
                      .token_sha256 = verdict->token_sha256,
                      .jwks_stale = verdict->stale_keys};
}

Result<att::PolicySnapshot> policy_in_force(App::Parts& parts) {
  const auto snapshot = parts.snapshot();
  att::PolicySettings settings = views::policy(snapshot->resolved().values, parts.config);
  settings.settings_version = snapshot->version();
  const auto trust_version =
      parts.database->read<std::int64_t>([](db::Transaction& tx) { return TrustStore().version(tx); });
  if (!trust_version) return std::unexpected(trust_version.error());
  settings.trusted_mrtd_version = *trust_version;
  parts.trust_version_seen = *trust_version;
  return att::freeze_policy(settings);
}

/// Without the database: on an io thread nothing may wait for it. What the settings in force and the trust list make of
/// the policy is kept, since a flood of garbage asks for it with every request. Thread-safe.
class PolicyInMemory {
 public:
  explicit PolicyInMemory(App::Parts& parts) : parts_(parts) {}

  std::shared_ptr<const KnownPolicy> get() {
    const std::int64_t trust_version = parts_.trust_version_seen.load();
    if (trust_version < 0) return nullptr;
    auto settings = parts_.snapshot();
    const std::lock_guard lock(mutex_);
    if (settings != settings_ || trust_version != trust_version_) {
      known_ = made_of(*settings, trust_version);
      settings_ = std::move(settings);
      trust_version_ = trust_version;
    }
    return known_;
  }

 private:
  std::shared_ptr<const KnownPolicy> made_of(const SettingsSnapshot& snapshot, std::int64_t trust_version) const {
    att::PolicySettings settings = views::policy(snapshot.resolved().values, parts_.config);
    settings.settings_version = snapshot.version();
    settings.trusted_mrtd_version = trust_version;
    auto policy = att::freeze_policy(settings);
    if (!policy) return nullptr;
    std::string json = att::to_json(*policy, std::nullopt);
    return std::make_shared<const KnownPolicy>(KnownPolicy{.policy = std::move(*policy), .json = std::move(json)});
  }

  App::Parts& parts_;
  std::mutex mutex_;
  SettingsPtr settings_;  // that known_ was made of, with trust_version_
  std::int64_t trust_version_ = -1;
  std::shared_ptr<const KnownPolicy> known_;
};

}  // namespace

void build_evidence(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.quotes = own_quotes(parts);
  parts.own_attestation = std::make_unique<ControlPlaneAttestation>(
      parts.quotes.get(), parts.keys->signing, std::string(to_string(parts.config.stage)), parts.config.public_url,
      world.clock, world.random, own_event_log(parts));
  parts.trust =
      std::make_unique<TrustService>(*parts.database, environment_trust(parts), world.clock, world.random,
                                     [line = parts.wake_line] { JobWaker::wake(line, "attestation_sweeper"); });
  parts.attestation_policy = [&parts] { return policy_in_force(parts); };
  parts.pcs = std::make_unique<att::PcsClient>(parts.outbound.of("pcs"), world.clock, world.random,
                                               [&parts] { return views::pcs(parts.snapshot()->resolved().values); });
  parts.collateral_rows = std::make_unique<DatabaseCollateralStore>(*parts.database);
  parts.collateral_cache = std::make_shared<att::CollateralCache>(att::CollateralCache::Parts{
      .fetcher = *parts.pcs,
      .store = *parts.collateral_rows,
      .policy = [&parts] { return views::collateral(parts.snapshot()->resolved().values); },
      .wake_refresh =
          [&parts] {
            if (parts.jobs) parts.jobs->wake("collateral_refresh");
          },
      .observe =
          [&parts](const att::CollateralFetchReport& report) {
            parts.counters->collateral(report);
            if (report.code) parts.dependency_errors.note("pcs", *report.code);
          },
      .anchor = world.collateral_anchor != nullptr ? *world.collateral_anchor : att::intel_anchor()});
  parts.collateral = collateral_source(parts);
  parts.intel_ta = std::make_unique<IntelTa>(parts.outbound.of("intel_ta"), world.clock, world.random, parts.metrics);
  parts.challenges = std::make_unique<ChallengeService>(parts.keys->challenge, parts.config.public_url,
                                                        parts.keys->signing, world.clock, world.random);
  parts.verifier = std::make_unique<EvidenceVerifier>(EvidenceVerifier::Parts{
      .database = *parts.database,
      .challenges = *parts.challenges,
      .trust = *parts.trust,
      .assignments = parts.assignments,
      .dcap = parts.dcap,
      .collateral = *parts.collateral,
      .token = [&parts](const TokenRequest& asked) { return token_verdict(parts, asked); },
      .policy = parts.attestation_policy,
      .known_policy = [known = std::make_shared<PolicyInMemory>(parts)] { return known->get(); },
      .limits = [&parts] { return views::verification(parts.snapshot()->resolved().values); },
      .restored_at = [&parts] { return parts.restored_at; },
      .forgotten_before = [&parts] { return parts.database_began_at; },
      .clock = world.clock,
      .before_step = world.before_verification_step,
      .observe_nonce = [&parts](std::optional<ErrorCode> refused) { parts.counters->nonce_used(refused); }});
}

}  // namespace ee::cp
