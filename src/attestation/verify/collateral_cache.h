#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestation/verify/collateral.h"
#include "attestation/verify/collateral_memory.h"
#include "attestation/verify/collateral_store.h"
#include "attestation/verify/turns.h"

namespace ee::attestation {

/// The settings that the cache obeys, read on every use.
struct CollateralPolicy {
  Seconds refresh{14400};                  ///< `dcap.refresh_seconds`
  TcbUpdate update = TcbUpdate::standard;  ///< `dcap.tcb_update`
};

/// What came of one fetch, for metrics: no code when the piece was accepted.
struct CollateralFetchReport {
  CollateralKind kind;
  std::optional<ErrorCode> code;
};

/// What one pass of the background job did.
struct CollateralRefresh {
  int refreshed = 0;
  int failed = 0;
};

/// Collateral from memory, over the shared table, over the publisher. Thread-safe. Source: 01 section 10.3.
///
/// A piece is fresh until min(fetched + refresh, nextUpdate - 1 h). After that it still counts, and `wake_refresh` asks
/// for a pass of `refresh_due`, for which nobody waits. At nextUpdate it is over: the next caller fetches and waits,
/// others who need the same piece wait with it, and when none can be had the answer is `collateral_expired`; there is
/// no grace. Only what passed the verifier's steps 5 and 6 is kept, and nothing replaces what is newer.
/// Bounds: 256 pieces in memory; after a failed fetch none for 5 s (callers) or 60 s (background).
class CollateralCache final : public CollateralSource {
 public:
  struct Parts {
    CollateralFetcher& fetcher;
    CollateralStore& store;
    std::function<CollateralPolicy()> policy = [] { return CollateralPolicy{}; };
    std::function<void()> wake_refresh = [] {};
    std::function<void(const CollateralFetchReport&)> observe = [](const CollateralFetchReport&) {};
    const TrustAnchor& anchor = intel_anchor();
  };
  /// What the parts refer to must outlive the cache; the functions are called from any thread.
  explicit CollateralCache(Parts parts);

  Result<Collateral> get(const std::string& fmspc, CaKind ca, UtcTime now, std::stop_token stop) override;

  /// One pass of the background job: fetches up to `max_items` pieces that are no longer fresh and were used within
  /// the last 7 days.
  CollateralRefresh refresh_due(UtcTime now, int max_items, const std::stop_token& stop);

  std::vector<CollateralState> states() const { return memory_.states(); }

 private:
  using Piece = std::shared_ptr<const CollateralPiece>;
  /// What every step of looking one piece up needs. `root_crl` is null for the root CRL itself.
  struct Request {
    const CollateralKey& key;
    const VerifiedRootCrl* root_crl;
    Seconds refresh;
    UtcTime now;
    const std::stop_token& stop;
  };

  Result<Piece> piece(const Request& request);
  Piece piece_of_another_replica(const Request& request, const Piece& known);
  Result<Piece> wait_for_piece(const Request& request);
  Result<Piece> fetch(const Request& request, Seconds pause_after_failure);
  Result<Piece> accept(const Request& request, CollateralItem item);
  Result<void> check_rollback(const Request& request, const CollateralRow& candidate);
  Result<Piece> load(const Request& request);
  Result<Piece> verify(const Request& request, CollateralItem item);
  void refresh(const Piece& piece, Seconds period, UtcTime now, const std::stop_token& stop, CollateralRefresh& report);

  Parts parts_;
  IssuerChains issuers_;
  CollateralMemory memory_;
  Turns turns_;
};

}  // namespace ee::attestation
