#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "attestation/verify/collateral.h"
#include "common/error.h"
#include "common/time.h"

namespace ee::attestation {

enum class CollateralKind : std::uint8_t { root_crl, pck_crl, tcb_info, qe_identity };
std::string_view to_string(CollateralKind kind);

/// Which of Intel's two TCB recoveries counts: `standard` leaves platforms time to update, `early` does not.
enum class TcbUpdate : std::uint8_t { standard, early };
BOOST_DESCRIBE_ENUM(TcbUpdate, standard, early)
std::string_view to_string(TcbUpdate update);

/// Names one piece of collateral. Members that its kind does not need stay as they are.
struct CollateralKey {
  CollateralKind kind;
  std::string fmspc = {};                  ///< tcb_info: 12 lower-case hexadecimal digits
  CaKind ca = CaKind::platform;            ///< pck_crl
  TcbUpdate update = TcbUpdate::standard;  ///< tcb_info, qe_identity

  /// `rootcrl`, `pckcrl:<ca>`, `tcb:<fmspc>:<update>`, `qe:<update>`: the primary key of its row.
  std::string text() const;
};

/// A row of `attestation_collateral`: one piece of collateral that was verified when it was stored.
struct CollateralRow {
  std::string cache_key;
  std::string body;          ///< the JSON body, or base64 of the DER; exact bytes
  std::string issuer_chain;  ///< PEM; empty for the root CRL
  UtcTime issue_at;          ///< issueDate or thisUpdate
  UtcTime next_update_at;
  UtcTime fetched_at;
  std::int64_t eval_number = 0;  ///< tcbEvaluationDataNumber; 0 for CRLs
  bool operator==(const CollateralRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(CollateralRow, (),
                      (cache_key, body, issuer_chain, issue_at, next_update_at, fetched_at, eval_number))

/// The row's item, as the verifier takes it; nothing when the row is damaged.
std::optional<CollateralItem> item_of(CollateralKind kind, const CollateralRow& row);

/// Whether `candidate` would take trust information back to an older state than `known`: a lower evaluation number or
/// an earlier issue date.
bool is_rollback(const CollateralRow& candidate, const CollateralRow& known);

/// Where verified collateral is kept between restarts and shared by replicas. Thread-safe.
class CollateralStore {
 public:
  virtual ~CollateralStore() = default;
  virtual Result<std::optional<CollateralRow>> load(const std::string& cache_key) = 0;
  /// Writes the row unless that would be a roll-back of the one there; whether it was written. One atomic statement:
  /// of two replicas the newer wins, in either order.
  virtual Result<bool> save(const CollateralRow& row) = 0;
};

/// Gets collateral from its publisher. Thread-safe; waits for the network. What it gives is not verified.
class CollateralFetcher {
 public:
  virtual ~CollateralFetcher() = default;
  /// errors: fmspc_unknown (tcb_info only), collateral_unavailable
  virtual Result<CollateralItem> fetch(const CollateralKey& key, std::stop_token stop) = 0;
};

}  // namespace ee::attestation
