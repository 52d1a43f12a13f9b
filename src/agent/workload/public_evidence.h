#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "agent/board.h"
#include "agent/config.h"
#include "agent/evidence.h"
#include "agent/workload/reconciler.h"
#include "agent/workload/workload_log.h"
#include "net/rate_limiter.h"

namespace ee::agent {

/// Evidence for relying parties: a fresh quote over their nonce, purpose 4, with what runs signed by the instance key.
/// 02 section 15.5. Thread-safe; a call may take seconds, and one quote is made at a time.
class PublicEvidence {
 public:
  /// All references outlive the object. `served` gives what runs, or null; `log` may be null.
  PublicEvidence(const AgentConfig& config, std::string vm_name, Board& board, const InstanceKeys& keys,
                 attestation::QuoteSource& quotes, const Host& host,
                 std::function<std::shared_ptr<const ServedWorkload>()> served, const WorkloadLog* log,
                 const Clock& clock);

  struct Caller {
    std::string source;          ///< whom the limit of one source counts against; empty: only the total counts
    bool may_see_names = false;  ///< a console token with scope `status`
  };
  /// The JSON answer. Errors: invalid_request (nonce), agent_not_active, rate_limited, tdx_unavailable.
  Result<std::string> make(std::string_view nonce, const Caller& caller);

 private:
  Result<ByteVector> quote(std::span<const std::uint8_t, 32> nonce, std::vector<agent_api::WorkloadLogEntry>& log);

  const AgentConfig& config_;
  std::string vm_name_;
  Board& board_;
  const InstanceKeys& keys_;
  attestation::QuoteSource& quotes_;
  const Host& host_;
  std::function<std::shared_ptr<const ServedWorkload>()> served_;
  const WorkloadLog* log_;
  net::RateLimiter total_;
  net::RateLimiter by_source_;
  std::mutex one_quote_;
};

}  // namespace ee::agent
