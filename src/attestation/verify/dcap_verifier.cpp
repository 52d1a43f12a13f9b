#include "attestation/verify/dcap_verifier.h"

#include <algorithm>

#include "attestation/quote/layout.h"
#include "attestation/verify/collateral_checks.h"
#include "attestation/verify/memo.h"
#include "attestation/verify/tcb_evaluation.h"
#include "common/require.h"

namespace ee::attestation {
namespace {

constexpr std::size_t kRememberedChains = 1024;  // one per platform, about 8 KiB each
constexpr std::size_t kRememberedCrls = 16;
constexpr std::size_t kRememberedTcbInfos = 256;  // one per FMSPC
constexpr std::size_t kRememberedQeIdentities = 16;

std::string_view key_of(const CollateralItem& item) { return text_of(item.digest()); }

/// The value remembered for `key`, or what `make` makes of it; only good values are remembered.
template <class Value, class Make>
Result<std::shared_ptr<const Value>> find_or_make(Memo<Value>& memo, std::string_view key, Make make) {
  if (auto found = memo.find(key)) return found;
  Result<Value> made = make();
  if (!made) return std::unexpected(std::move(made.error()));
  auto value = std::make_shared<const Value>(std::move(*made));
  memo.put(key, value);
  return value;
}

/// Step 3: leaf -> QE report -> attestation key -> quote.
Result<void> check_signatures(const Quote& quote, const PckChain& chain) {
  if (!chain.leaf_key.verify(quote.qe_report(), quote.qe_report_signature()))
    return fail(ErrorCode::qe_report_signature_invalid);

  ByteVector bound(quote.attestation_key().begin(), quote.attestation_key().end());
  append(bound, quote.qe_auth_data());
  ByteArray<64> wanted{};
  std::ranges::copy(openssl_sha256(bound), wanted.begin());
  if (!constant_time_equal(wanted, layout::qe_report::ReportData::of(quote.qe_report())))
    return fail(ErrorCode::qe_report_binding_invalid);

  const auto attestation_key = P256PublicKey::from_point(quote.attestation_key());
  if (!attestation_key || !attestation_key->verify(quote.signed_bytes(), quote.signature()))
    return fail(ErrorCode::quote_signature_invalid);
  return {};
}

}  // namespace

/// What was found good under one anchor.
struct DcapVerifier::Memory {
  struct UnderOneAnchor {
    explicit UnderOneAnchor(const TrustAnchor& anchor) : issuers(anchor) {}
    const TrustAnchor& anchor() const { return issuers.anchor(); }
    IssuerChains issuers;
    Memo<PckChain> chains{kRememberedChains};
    Memo<VerifiedRootCrl> root_crls{kRememberedCrls};
    Memo<VerifiedPckCrl> pck_crls{kRememberedCrls};
    Memo<VerifiedTcbInfo> tcb_infos{kRememberedTcbInfos};
    Memo<VerifiedQeIdentity> qe_identities{kRememberedQeIdentities};
  };
  UnderOneAnchor intel{intel_anchor()};
#ifdef EE_EMULATOR
  UnderOneAnchor emulator{emulator_anchor()};
#endif
};

/// One verification: the steps of 01 section 10.2 by their numbers.
class DcapVerifier::Check {
 public:
  static Result<Check> begin(Memory& memory, const Quote& quote, const TrustAnchors& anchors, UtcTime now) {
    if (!quote.is_emulated()) return Check(memory.intel, quote, now);
#ifdef EE_EMULATOR
    if (anchors.allow_emulator) return Check(memory.emulator, quote, now);
#else
    static_cast<void>(anchors);
#endif
    return fail(ErrorCode::quote_emulated_refused);
  }

  Result<std::shared_ptr<const PckChain>> offline() {
    const std::string_view pem = quote_.pck_chain_pem();
    auto chain = memory_.chains.find(pem);
    if (chain) {
      if (auto good = check_dates(*chain, now_); !good) return std::unexpected(std::move(good.error()));
    } else {
      auto verified = verify_pck_chain(pem, memory_.anchor(), now_);
      if (!verified) return std::unexpected(std::move(verified.error()));
      chain = std::make_shared<const PckChain>(std::move(*verified));
      memory_.chains.put(pem, chain);
    }
    if (auto good = check_signatures(quote_, *chain); !good) return std::unexpected(std::move(good.error()));
    chain_ = chain;
    return chain;
  }

  Result<DcapResult> with(const Collateral& collateral) {
    if (auto good = revocations(collateral); !good) return std::unexpected(std::move(good.error()));
    if (auto good = documents(collateral); !good) return std::unexpected(std::move(good.error()));
    return evaluate();
  }

 private:
  Check(Memory::UnderOneAnchor& memory, const Quote& quote, UtcTime now) : memory_(memory), quote_(quote), now_(now) {}

  /// Step 5, but for the TCB signing certificate, which step 6 knows.
  Result<void> revocations(const Collateral& collateral) {
    auto root_crl = find_or_make(memory_.root_crls, key_of(*collateral.root_crl),
                                 [&] { return verify_root_crl(*collateral.root_crl, memory_.anchor()); });
    if (!root_crl) return std::unexpected(std::move(root_crl.error()));
    auto pck_crl = find_or_make(memory_.pck_crls, key_of(*collateral.pck_crl),
                                [&] { return verify_pck_crl(*collateral.pck_crl, memory_.issuers); });
    if (!pck_crl) return std::unexpected(std::move(pck_crl.error()));
    root_crl_ = std::move(*root_crl);
    pck_crl_ = std::move(*pck_crl);
    // The CRL was verified by the CA of its own issuer chain; here that must be the CA of the quote's chain.
    if (!std::ranges::equal(pck_crl_->crl.issuer, chain_->ca_subject) || !(pck_crl_->ca->key == chain_->ca_key))
      return fail(ErrorCode::crl_invalid, "the PCK CRL is another CA's");
    if (auto good = check_dates(*root_crl_, now_); !good) return good;
    if (auto good = check_dates(*pck_crl_, now_); !good) return good;
    if (root_crl_->crl.revokes(chain_->ca_serial) || root_crl_->crl.revokes(pck_crl_->ca->serial))
      return fail(ErrorCode::pck_revoked, "PCK CA");
    if (pck_crl_->crl.revokes(chain_->leaf_serial)) return fail(ErrorCode::pck_revoked, "PCK certificate");
    return {};
  }

  /// Step 6 for one document. The dates of a remembered one are checked as those of a new one are.
  template <class Document, class Verify>
  Result<std::shared_ptr<const Verified<Document>>> document(Memo<Verified<Document>>& memo, const CollateralItem& item,
                                                             Verify verify) {
    if (auto found = memo.find(key_of(item))) {
      auto good = check_signer_and_dates(*found->signer, found->document.dates, *root_crl_, now_);
      if (!good) return std::unexpected(std::move(good.error()));
      return found;
    }
    return find_or_make(memo, key_of(item), [&] { return verify(item, memory_.issuers, *root_crl_, now_); });
  }

  Result<void> documents(const Collateral& collateral) {
    auto tcb_info = document(memory_.tcb_infos, *collateral.tcb_info, verify_tcb_info);
    if (!tcb_info) return std::unexpected(std::move(tcb_info.error()));
    auto qe_identity = document(memory_.qe_identities, *collateral.qe_identity, verify_qe_identity);
    if (!qe_identity) return std::unexpected(std::move(qe_identity.error()));
    tcb_info_ = std::move(*tcb_info);
    qe_identity_ = std::move(*qe_identity);
    return {};
  }

  /// Steps 7 to 12.
  Result<DcapResult> evaluate() {
    const auto& identity = qe_identity_->document.contents;
    if (!identity) return std::unexpected(identity.error());
    const auto qe = check_qe_report(*identity, quote_.qe_report());
    if (!qe) return std::unexpected(qe.error());

    const auto& info = tcb_info_->document.contents;
    if (!info) return std::unexpected(info.error());
    if (auto good = check_platform(*info, chain_->platform); !good) return std::unexpected(std::move(good.error()));
    const ModuleFacts module{.tee_tcb_svn = quote_.tee_tcb_svn(),
                             .mrsignerseam = quote_.mrsignerseam(),
                             .seam_attributes = quote_.seam_attributes()};
    if (auto good = check_module(*info, module); !good) return std::unexpected(std::move(good.error()));
    auto platform = evaluate_platform(*info, chain_->platform, quote_.tee_tcb_svn());
    if (!platform) return std::unexpected(std::move(platform.error()));
    if (const auto now_svn = quote_.tee_tcb_svn2()) {
      const auto current = evaluate_platform(*info, chain_->platform, *now_svn);
      if (!current) return std::unexpected(current.error());
      platform->status = with_relaunch(platform->status, current->status);
    }
    platform->status = converge(qe->status, platform->status);
    unite(platform->advisories, qe->advisories);
    return result(std::move(*platform));
  }

  DcapResult result(TcbVerdict verdict) const {
    const PckExtension& platform = chain_->platform;
    const DocumentDates& info = tcb_info_->document.dates;
    const DocumentDates& identity = qe_identity_->document.dates;
    return {.status = verdict.status,
            .advisories = std::move(verdict.advisories),
            .tcb_date = verdict.date,
            .fmspc = to_hex(platform.fmspc),
            .pceid = to_hex(platform.pceid),
            .ppid_sha256 = to_hex(openssl_sha256(platform.ppid)),
            .ca_kind = chain_->ca_kind,
            .emulated = quote_.is_emulated(),
            .tcb_evaluation_data_number = info.tcb_evaluation_data_number,
            .collateral_issued =
                std::min({info.issue_date, identity.issue_date, root_crl_->crl.this_update, pck_crl_->crl.this_update}),
            .collateral_next_update = std::min(
                {info.next_update, identity.next_update, root_crl_->crl.next_update, pck_crl_->crl.next_update})};
  }

  Memory::UnderOneAnchor& memory_;
  const Quote& quote_;
  UtcTime now_;
  std::shared_ptr<const PckChain> chain_ = {};
  std::shared_ptr<const VerifiedRootCrl> root_crl_ = {};
  std::shared_ptr<const VerifiedPckCrl> pck_crl_ = {};
  std::shared_ptr<const VerifiedTcbInfo> tcb_info_ = {};
  std::shared_ptr<const VerifiedQeIdentity> qe_identity_ = {};
};

DcapVerifier::DcapVerifier() : memory_(std::make_unique<Memory>()) {}
DcapVerifier::~DcapVerifier() = default;

Result<std::shared_ptr<const PckChain>> DcapVerifier::verify_offline(const Quote& quote, const TrustAnchors& anchors,
                                                                     UtcTime now) const {
  auto check = Check::begin(*memory_, quote, anchors, now);
  if (!check) return std::unexpected(std::move(check.error()));
  return check->offline();
}

Result<DcapResult> DcapVerifier::verify(const Quote& quote, const Collateral& collateral, const TrustAnchors& anchors,
                                        UtcTime now) const {
  require(collateral.root_crl && collateral.pck_crl && collateral.tcb_info && collateral.qe_identity);
  auto check = Check::begin(*memory_, quote, anchors, now);
  if (!check) return std::unexpected(std::move(check.error()));
  if (const auto chain = check->offline(); !chain) return std::unexpected(chain.error());
  return check->with(collateral);
}

Result<DcapResult> DcapVerifier::verify(const Quote& quote, CollateralSource& source, const TrustAnchors& anchors,
                                        UtcTime now, std::stop_token stop) const {
  auto check = Check::begin(*memory_, quote, anchors, now);
  if (!check) return std::unexpected(std::move(check.error()));
  const auto chain = check->offline();
  if (!chain) return std::unexpected(chain.error());
  const auto collateral = source.get(to_hex((*chain)->platform.fmspc), (*chain)->ca_kind, now, std::move(stop));
  if (!collateral) return std::unexpected(collateral.error());
  require(collateral->root_crl && collateral->pck_crl && collateral->tcb_info && collateral->qe_identity);
  return check->with(*collateral);
}

}  // namespace ee::attestation
