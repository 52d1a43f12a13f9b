#pragma once
#include <memory>
#include <optional>

#include "agent/config.h"
#include "attestation/emulation.h"
#include "attestation/tsm/quote_source.h"
#include "attestation/verify/collateral.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/random.h"

namespace ee::agent {

/// The proof that emulation is allowed, if this configuration says so; `load_config` has checked it.
std::optional<attestation::EmulationAllowed> emulation_of(const AgentConfig& config);

/// Where this agent's quotes come from: configfs-tsm; the emulator where that is chosen, or where it is allowed and
/// there is no configfs-tsm. References outlive the source. Error: tdx_unavailable.
Result<std::unique_ptr<attestation::QuoteSource>> make_quote_source(const AgentConfig& config, Clock& clock,
                                                                    Random& random);

/// Collateral to verify the control plane's quote with: of `dcap_pcs_url`, kept in memory; with emulation allowed the
/// emulator's own, too. References outlive the source.
std::shared_ptr<attestation::CollateralSource> make_collateral_source(const AgentConfig& config, HttpClient& http,
                                                                      Clock& clock, Random& random);

}  // namespace ee::agent
