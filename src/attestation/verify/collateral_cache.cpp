#include "attestation/verify/collateral_cache.h"

#include <algorithm>

namespace ee::attestation {
namespace {

constexpr auto kRefreshBeforeEnd = std::chrono::hours(1);
constexpr auto kUsedWithin = std::chrono::days(7);
constexpr Seconds kPauseForCallers{5};
constexpr Seconds kPauseForBackground{60};

std::unexpected<Error> pass_on(Error& error) { return std::unexpected(std::move(error)); }

/// Nobody but the holder of a genuine platform names an FMSPC; this keeps the rule where URLs and keys are made.
bool is_fmspc(std::string_view text) { return is_lower_hex(text, 12); }

std::string_view ca_name(const TrustAnchor& anchor, CaKind kind) {
  return kind == CaKind::platform ? anchor.platform_ca_name : anchor.processor_ca_name;
}

bool is_fresh(const CollateralPiece& piece, Seconds refresh, UtcTime now) {
  return now < std::min<UtcTime>(piece.row.fetched_at + refresh, piece.row.next_update_at - kRefreshBeforeEnd);
}

/// What a row says of a CRL. Its body is DER, whatever form it came in.
CollateralRow row_of(const CollateralKey& key, const CollateralItem& item, const Crl& crl) {
  return {.cache_key = key.text(),
          .body = to_base64(crl_der(item.body()).value()),
          .issuer_chain = item.issuer_chain(),
          .issue_at = crl.this_update,
          .next_update_at = crl.next_update,
          .fetched_at = {},
          .eval_number = 0};
}

CollateralRow row_of(const CollateralKey& key, const CollateralItem& item, const DocumentDates& dates) {
  return {.cache_key = key.text(),
          .body = item.body(),
          .issuer_chain = item.issuer_chain(),
          .issue_at = dates.issue_date,
          .next_update_at = dates.next_update,
          .fetched_at = {},
          .eval_number = dates.tcb_evaluation_data_number};
}

/// The checks of one piece alone. Returns its row; `root_crl_out` is set when it is the root CRL.
Result<CollateralRow> verify_root(const CollateralKey& key, const CollateralItem& item, const TrustAnchor& anchor,
                                  UtcTime now, std::shared_ptr<const VerifiedRootCrl>& root_crl_out) {
  auto crl = verify_root_crl(item, anchor);
  if (!crl) return pass_on(crl.error());
  if (auto good = check_dates(*crl, now); !good) return pass_on(good.error());
  root_crl_out = std::make_shared<const VerifiedRootCrl>(std::move(*crl));
  return row_of(key, item, root_crl_out->crl);
}

Result<CollateralRow> verify_pck(const CollateralKey& key, const CollateralItem& item, IssuerChains& issuers,
                                 UtcTime now, const VerifiedRootCrl& root_crl) {
  const auto crl = verify_pck_crl(item, issuers);
  if (!crl) return std::unexpected(crl.error());
  if (crl->ca->common_name != ca_name(issuers.anchor(), key.ca))
    return fail(ErrorCode::crl_invalid, "another CA's CRL");
  if (auto good = check_dates(*crl, now); !good) return pass_on(good.error());
  if (root_crl.crl.revokes(crl->ca->serial)) return fail(ErrorCode::pck_revoked, "PCK CA");
  return row_of(key, item, crl->crl);
}

Result<CollateralRow> verify_info(const CollateralKey& key, const CollateralItem& item, IssuerChains& issuers,
                                  UtcTime now, const VerifiedRootCrl& root_crl) {
  const auto info = verify_tcb_info(item, issuers, root_crl, now);
  if (!info) return std::unexpected(info.error());
  if (!info->document.contents) return std::unexpected(info->document.contents.error());
  if (to_hex(info->document.contents->fmspc) != key.fmspc) return fail(ErrorCode::tcb_info_mismatch, "fmspc");
  return row_of(key, item, info->document.dates);
}

Result<CollateralRow> verify_identity(const CollateralKey& key, const CollateralItem& item, IssuerChains& issuers,
                                      UtcTime now, const VerifiedRootCrl& root_crl) {
  const auto identity = verify_qe_identity(item, issuers, root_crl, now);
  if (!identity) return std::unexpected(identity.error());
  if (!identity->document.contents) return std::unexpected(identity->document.contents.error());
  return row_of(key, item, identity->document.dates);
}

}  // namespace

CollateralCache::CollateralCache(Parts parts) : parts_(std::move(parts)), issuers_(parts_.anchor) {}

Result<Collateral> CollateralCache::get(const std::string& fmspc, CaKind ca, UtcTime now, std::stop_token stop) {
  if (!is_fmspc(fmspc)) return fail(ErrorCode::fmspc_unknown, "not an FMSPC");
  const auto [refresh, update] = parts_.policy();
  const CollateralKey root_key{.kind = CollateralKind::root_crl};
  auto root_crl = piece({root_key, nullptr, refresh, now, stop});
  if (!root_crl) return pass_on(root_crl.error());
  const auto find = [&, refresh = refresh](const CollateralKey& key) {
    return piece({key, (*root_crl)->root_crl.get(), refresh, now, stop});
  };
  auto pck_crl = find({.kind = CollateralKind::pck_crl, .ca = ca});
  if (!pck_crl) return pass_on(pck_crl.error());
  auto tcb_info = find({.kind = CollateralKind::tcb_info, .fmspc = fmspc, .update = update});
  if (!tcb_info) return pass_on(tcb_info.error());
  auto qe_identity = find({.kind = CollateralKind::qe_identity, .update = update});
  if (!qe_identity) return pass_on(qe_identity.error());
  return Collateral{.root_crl = (*root_crl)->item,
                    .pck_crl = (*pck_crl)->item,
                    .tcb_info = (*tcb_info)->item,
                    .qe_identity = (*qe_identity)->item};
}

Result<CollateralCache::Piece> CollateralCache::piece(const Request& request) {
  Piece known = memory_.use(request.key.text(), request.now);
  if (!known || request.now >= known->row.next_update_at) return wait_for_piece(request);
  if (is_fresh(*known, request.refresh, request.now)) return known;
  if (!memory_.may_look_further(request.key.text(), request.now)) return known;
  if (Piece newer = piece_of_another_replica(request, known)) return newer;
  parts_.wake_refresh();
  return known;
}

/// The table's piece when another replica refreshed it; nullptr when not, also when the table cannot be read.
CollateralCache::Piece CollateralCache::piece_of_another_replica(const Request& request, const Piece& known) {
  const auto stored = load(request);
  if (!stored || !*stored || (*stored)->row.fetched_at <= known->row.fetched_at) return nullptr;
  if (is_rollback((*stored)->row, known->row) || !is_fresh(**stored, request.refresh, request.now)) return nullptr;
  memory_.put(*stored, request.now);
  return *stored;
}

/// There is no piece that counts: one caller gets it, the others wait for that one.
Result<CollateralCache::Piece> CollateralCache::wait_for_piece(const Request& request) {
  const std::string name = request.key.text();
  const auto turn = turns_.take(name, request.stop);
  if (!turn) return fail(ErrorCode::collateral_unavailable, "given up while waiting");
  Piece known = memory_.find(name);
  if (known && request.now < known->row.next_update_at) return known;
  if (auto failure = memory_.failure(name, request.now)) return pass_on(*failure);
  auto stored = load(request);
  if (!stored && stored.error().code != ErrorCode::collateral_expired) return stored;
  if (stored && *stored) {
    memory_.put(*stored, request.now);
    return stored;
  }
  const bool had_one = known || !stored;
  auto fetched = fetch(request, kPauseForCallers);
  if (fetched || !had_one) return fetched;
  const ErrorCode code = fetched.error().code;
  if (code != ErrorCode::collateral_unavailable && code != ErrorCode::fmspc_unknown) return fetched;
  // It was there and is over. That it cannot be replaced now says nothing against the platform.
  return fail(ErrorCode::collateral_expired, name);
}

/// Under the turn of the key.
Result<CollateralCache::Piece> CollateralCache::fetch(const Request& request, Seconds pause_after_failure) {
  auto item = parts_.fetcher.fetch(request.key, request.stop);
  Result<Piece> accepted = item ? accept(request, std::move(*item)) : Result<Piece>(pass_on(item.error()));
  parts_.observe({.kind = request.key.kind, .code = accepted ? std::nullopt : std::optional(accepted.error().code)});
  if (accepted) {
    memory_.put(*accepted, request.now);
  } else if (!request.stop.stop_requested()) {  // a caller that gave up says nothing about the publisher
    memory_.put_failure(request.key, accepted.error(), request.now + pause_after_failure);
  }
  return accepted;
}

Result<CollateralCache::Piece> CollateralCache::accept(const Request& request, CollateralItem item) {
  auto piece = verify(request, std::move(item));
  if (!piece) return piece;
  CollateralRow row = (*piece)->row;
  row.fetched_at = request.now;
  if (auto good = check_rollback(request, row); !good) return pass_on(good.error());
  const auto saved = parts_.store.save(row);
  if (!saved) return std::unexpected(saved.error());
  if (!*saved) {
    // Another replica stored a newer one since the check: that one counts.
    auto stored = load(request);
    if (stored && *stored) return stored;
    return fail(ErrorCode::collateral_rollback, row.cache_key);
  }
  return std::make_shared<const CollateralPiece>(CollateralPiece{
      .key = request.key, .row = std::move(row), .item = (*piece)->item, .root_crl = (*piece)->root_crl});
}

/// Compares with what is remembered and with what is stored. A document of the early recovery may not be older than
/// the standard one; the other way round it regularly is.
Result<void> CollateralCache::check_rollback(const Request& request, const CollateralRow& candidate) {
  std::vector<std::string> names = {candidate.cache_key};
  if (request.key.update == TcbUpdate::early) {
    CollateralKey standard = request.key;
    standard.update = TcbUpdate::standard;
    if (standard.text() != candidate.cache_key) names.push_back(standard.text());
  }
  for (const std::string& name : names) {
    const auto stored = parts_.store.load(name);
    if (!stored) return std::unexpected(stored.error());
    if (*stored && is_rollback(candidate, **stored)) return fail(ErrorCode::collateral_rollback, name);
  }
  Piece known = memory_.find(candidate.cache_key);
  if (known && is_rollback(candidate, known->row)) return fail(ErrorCode::collateral_rollback, candidate.cache_key);
  return {};
}

/// The stored piece, verified; nullptr when there is none. errors: collateral_expired, and those of the store. A row
/// that no longer verifies is as good as none: the publisher is asked again.
Result<CollateralCache::Piece> CollateralCache::load(const Request& request) {
  auto row = parts_.store.load(request.key.text());
  if (!row) return pass_on(row.error());
  if (!*row) return nullptr;
  auto item = item_of(request.key.kind, **row);
  if (!item) return nullptr;
  auto piece = verify(request, std::move(*item));
  if (!piece) {
    if (piece.error().code == ErrorCode::collateral_expired) return pass_on(piece.error());
    return nullptr;
  }
  CollateralPiece copy = **piece;
  copy.row.fetched_at = std::min((*row)->fetched_at, request.now);
  return std::make_shared<const CollateralPiece>(std::move(copy));
}

/// Steps 5 and 6 for one piece. The row's `fetched_at` is left open.
Result<CollateralCache::Piece> CollateralCache::verify(const Request& request, CollateralItem item) {
  CollateralPiece piece{
      .key = request.key, .row = {}, .item = std::make_shared<const CollateralItem>(std::move(item)), .root_crl = {}};
  Result<CollateralRow> row = [&]() -> Result<CollateralRow> {
    const UtcTime now = request.now;
    switch (request.key.kind) {
      case CollateralKind::root_crl: return verify_root(request.key, *piece.item, parts_.anchor, now, piece.root_crl);
      case CollateralKind::pck_crl: return verify_pck(request.key, *piece.item, issuers_, now, *request.root_crl);
      case CollateralKind::tcb_info: return verify_info(request.key, *piece.item, issuers_, now, *request.root_crl);
      case CollateralKind::qe_identity:
        return verify_identity(request.key, *piece.item, issuers_, now, *request.root_crl);
    }
    return fail(ErrorCode::internal_verification_error);
  }();
  if (!row) return pass_on(row.error());
  piece.row = std::move(*row);
  return std::make_shared<const CollateralPiece>(std::move(piece));
}

CollateralRefresh CollateralCache::refresh_due(UtcTime now, int max_items, const std::stop_token& stop) {
  CollateralRefresh report;
  const Seconds period = parts_.policy().refresh;
  for (const Piece& piece : memory_.candidates(now - kUsedWithin, now)) {
    if (stop.stop_requested() || report.refreshed + report.failed >= max_items) break;
    if (!is_fresh(*piece, period, now)) refresh(piece, period, now, stop, report);
  }
  return report;
}

void CollateralCache::refresh(const Piece& piece, Seconds period, UtcTime now, const std::stop_token& stop,
                              CollateralRefresh& report) {
  const CollateralKey root_key{.kind = CollateralKind::root_crl};
  Result<Piece> root_crl = nullptr;
  if (piece->key.kind != CollateralKind::root_crl) {
    root_crl = memory_.find(root_key.text());  // not `use`: that would keep it from ever falling out of use
    if (!*root_crl || now >= (*root_crl)->row.next_update_at)
      root_crl = this->piece({root_key, nullptr, period, now, stop});
  }
  const auto turn = root_crl ? turns_.take(piece->key.text(), stop) : std::nullopt;
  if (!turn) {
    ++report.failed;
    return;
  }
  const Request request{piece->key, *root_crl ? (*root_crl)->root_crl.get() : nullptr, period, now, stop};
  const bool done = piece_of_another_replica(request, piece) != nullptr || fetch(request, kPauseForBackground);
  ++(done ? report.refreshed : report.failed);
}

}  // namespace ee::attestation
