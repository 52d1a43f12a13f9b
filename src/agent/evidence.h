#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config.h"
#include "agent/control_plane_client.h"
#include "agent/host.h"
#include "attestation/binding.h"
#include "attestation/tsm/quote_source.h"
#include "common/agent_api.h"
#include "common/ed25519.h"
#include "common/random.h"
#include "common/sealed_box.h"

namespace ee::agent {

/// The keys that this process speaks with. Made at the start, kept in memory only, bound into every quote.
struct InstanceKeys {
  Ed25519PrivateKey signing;
  X25519KeyPair sealing;
  /// Error: internal_error when the CSPRNG fails.
  static Result<InstanceKeys> generate(Random& random);
};

/// Makes evidence for challenges. Thread-safe; a call may take many seconds.
class EvidenceMaker {
 public:
  using WorkloadEntries = std::function<std::vector<agent_api::WorkloadLogEntry>()>;
  /// Has Intel Trust Authority make a token about a quote; `preimage` is what its report data hashes.
  using TokenMinter = std::function<Result<std::string>(Bytes quote, Bytes preimage, const std::stop_token& stop)>;
  /// All references outlive the maker. `workload_log` gives what was measured into RTMR3; empty: nothing is. `mint` is
  /// needed for evidence `ita`.
  EvidenceMaker(const AgentConfig& config, std::string vm_name, const InstanceKeys& keys,
                attestation::QuoteSource& quotes, const Host& host, WorkloadEntries workload_log = {},
                TokenMinter mint = {})
      : config_(config),
        vm_name_(std::move(vm_name)),
        keys_(keys),
        quotes_(quotes),
        host_(host),
        workload_log_(std::move(workload_log)),
        mint_(std::move(mint)) {}

  /// What the agent checks of a challenge before it makes anything: its purpose, that its audience is the origin of the
  /// configured control plane, that our kind of evidence is accepted. Errors: bad_answer (purpose), audience_mismatch,
  /// evidence_kind_refused.
  CallResult<void> check(const agent_api::ChallengeAnswer& challenge, std::string_view purpose) const;

  /// A fresh quote over nonce, purpose, our keys and name, and our own idea of the audience; the event log as the
  /// challenge wants it; with `evidence=ita` a token about the quote. Errors: those of QuoteSource::generate,
  /// event_log_missing, those of the minter.
  CallResult<agent_api::Evidence> make(const agent_api::ChallengeAnswer& challenge, attestation::Purpose purpose,
                                       const std::stop_token& stop = {});

 private:
  const AgentConfig& config_;
  std::string vm_name_;
  const InstanceKeys& keys_;
  attestation::QuoteSource& quotes_;
  const Host& host_;
  WorkloadEntries workload_log_;
  TokenMinter mint_;
};

}  // namespace ee::agent
