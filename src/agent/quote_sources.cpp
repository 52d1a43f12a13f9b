#include "agent/quote_sources.h"

#include <fmt/format.h>

#include <filesystem>

#include "agent/files.h"
#include "attestation/tsm/configfs_tsm.h"
#include "attestation/tsm/emulated_collateral.h"
#include "attestation/tsm/emulated_tdx.h"
#include "attestation/verify/collateral_cache.h"
#include "attestation/verify/pcs_client.h"
#include "common/log.h"

namespace ee::agent {
namespace {

namespace at = attestation;

/// The agent keeps nothing beyond its process: collateral is fetched again after a start.
class NoCollateralStore final : public at::CollateralStore {
 public:
  Result<std::optional<at::CollateralRow>> load(const std::string&) override { return std::nullopt; }
  Result<bool> save(const at::CollateralRow&) override { return true; }
};

/// Fetcher, store and cache as one thing to own.
class PublishedCollateral final : public at::CollateralSource {
 public:
  PublishedCollateral(HttpClient& http, Clock& clock, Random& random, at::PcsEndpoints endpoints)
      : fetcher_(http, clock, random, [endpoints = std::move(endpoints)] { return endpoints; }),
        cache_(at::CollateralCache::Parts{.fetcher = fetcher_, .store = store_}) {}

  Result<at::Collateral> get(const std::string& fmspc, at::CaKind ca, UtcTime now, std::stop_token stop) override {
    return cache_.get(fmspc, ca, now, std::move(stop));
  }

 private:
  at::PcsClient fetcher_;
  NoCollateralStore store_;
  at::CollateralCache cache_;
};

Result<std::unique_ptr<at::QuoteSource>> make_emulated(const AgentConfig& config, Clock& clock) {
#ifdef EE_EMULATOR
  const auto allowed = emulation_of(config);
  if (!allowed) return fail(ErrorCode::emulated_tdx_forbidden, "emulation is not allowed");
  if (auto made = make_directories(std::filesystem::path(config.emulated_tdx_dir).parent_path().string()); !made)
    return fail(ErrorCode::tdx_unavailable, made.error().detail);
  auto emulated = at::EmulatedTdx::open(*allowed, config.emulated_tdx_dir, at::EmulatedRole::agent, clock);
  if (!emulated) return fail(std::move(emulated.error()));
  log::warn("agent", "quotes are emulated; nothing that they say is protected by hardware");
  return std::unique_ptr<at::QuoteSource>(std::move(*emulated));
#else
  (void)config;
  (void)clock;
  return fail(ErrorCode::emulated_tdx_forbidden, "built without the emulator");
#endif
}

}  // namespace

std::optional<at::EmulationAllowed> emulation_of(const AgentConfig& config) {
  if (!config.allow_emulated_tdx) return std::nullopt;
  const auto allowed = at::EmulationAllowed::check(to_string(config.env), true);
  return allowed ? std::optional(*allowed) : std::nullopt;
}

Result<std::unique_ptr<at::QuoteSource>> make_quote_source(const AgentConfig& config, Clock& clock, Random& random) {
  if (config.tdx_provider == TdxProvider::emulated) return make_emulated(config, clock);
  auto configfs = std::make_unique<at::ConfigfsTsm>(config.tsm_root, clock, random);
  if (configfs->present()) {
    if (const std::size_t removed = configfs->remove_stale_entries(); removed > 0)
      log::info("agent", "removed quote entries of processes that are gone", {{"count", removed}});
    return std::unique_ptr<at::QuoteSource>(std::move(configfs));
  }
  if (config.allow_emulated_tdx) return make_emulated(config, clock);
  return fail(ErrorCode::tdx_unavailable, fmt::format("{} is missing", config.tsm_root));
}

std::shared_ptr<at::CollateralSource> make_collateral_source(const AgentConfig& config, HttpClient& http, Clock& clock,
                                                             Random& random) {
  at::PcsEndpoints endpoints;
  if (config.dcap_pcs_url != endpoints.pcs_url) {
    endpoints.pcs_url = config.dcap_pcs_url;
    endpoints.root_crl_url.clear();  // a PCCS has the root CRL as well
  }
  auto published = std::make_shared<PublishedCollateral>(http, clock, random, std::move(endpoints));
#ifdef EE_EMULATOR
  if (const auto allowed = emulation_of(config))
    return std::make_shared<at::EmulatedCollateralSource>(*allowed, std::move(published));
#endif
  return published;
}

}  // namespace ee::agent
