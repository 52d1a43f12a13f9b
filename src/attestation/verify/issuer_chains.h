#pragma once
#include <expected>
#include <memory>
#include <string_view>

#include "attestation/verify/chain.h"
#include "attestation/verify/memo.h"

namespace ee::attestation {

/// Issuer chains of collateral under one anchor. TCB info and QE identity come with the same chain, and the next ones
/// come with it again, so the good ones are remembered. Thread-safe.
class IssuerChains {
 public:
  explicit IssuerChains(const TrustAnchor& anchor) : anchor_(anchor) {}

  const TrustAnchor& anchor() const { return anchor_; }

  /// As `verify_issuer_chain`.
  std::expected<std::shared_ptr<const Signer>, CertificateFault> verify(std::string_view pem, SignerRole role) {
    Memo<Signer>& memo = role == SignerRole::tcb_signing ? tcb_signers_ : pck_cas_;
    if (auto found = memo.find(pem)) return found;
    auto signer = verify_issuer_chain(pem, anchor_, role);
    if (!signer) return std::unexpected(signer.error());
    auto made = std::make_shared<const Signer>(std::move(*signer));
    memo.put(pem, made);
    return made;
  }

 private:
  static constexpr std::size_t kRemembered = 8;
  const TrustAnchor& anchor_;
  Memo<Signer> tcb_signers_{kRemembered};
  Memo<Signer> pck_cas_{kRemembered};
};

}  // namespace ee::attestation
