#include "attestation/verify/chain.h"

#include <algorithm>
#include <optional>

namespace ee::attestation {
namespace {

constexpr std::uint64_t kRootPathLength = 1;
constexpr std::uint64_t kCaPathLength = 0;

bool is_anchor_key(const Certificate& root, const TrustAnchor& anchor) { return root.key == anchor.root_key; }

/// Everything about a root whose key is the anchor's. The certificate may be another than the one we know: Intel may
/// reissue it under the same key.
CertificateFault check_root(const Certificate& root, const TrustAnchor& anchor) {
  if (std::ranges::equal(root.der, anchor.known_root_der)) return nullptr;
  if (root.common_name != anchor.root_name) return "root name";
  if (!root.is_signed_by(root)) return "root signature";
  if (!root.is_ca || root.path_length != kRootPathLength) return "root basic constraints";
  if (!root.may_sign_certificates) return "root key usage";
  return nullptr;
}

CertificateFault check_ca(const Certificate& ca, const Certificate& root) {
  if (!ca.is_signed_by(root)) return "CA signature or issuer";
  if (!ca.is_ca || ca.path_length != kCaPathLength) return "CA basic constraints";
  if (!ca.may_sign_certificates) return "CA key usage";
  return nullptr;
}

CertificateFault check_end_entity(const Certificate& certificate, const Certificate& issuer) {
  if (!certificate.is_signed_by(issuer)) return "signature or issuer";
  if (certificate.is_ca) return "basic constraints";
  if (!certificate.may_sign_data || certificate.may_sign_certificates) return "key usage";
  return nullptr;
}

std::optional<CaKind> ca_kind_of(const Certificate& ca, const TrustAnchor& anchor) {
  if (ca.common_name == anchor.platform_ca_name) return CaKind::platform;
  if (ca.common_name == anchor.processor_ca_name) return CaKind::processor;
  return std::nullopt;
}

/// The three certificates of a PCK chain.
struct ReadChain {
  Certificate leaf;
  Certificate ca;
  Certificate root;
};

/// The root comes first, so that a stranger's chain costs one certificate.
Result<ReadChain> read_chain(std::string_view pem, const TrustAnchor& anchor) {
  const auto invalid = [](CertificateFault fault) { return fail(ErrorCode::pck_chain_invalid, fault); };
  const auto ders = split_pem_certificates(pem, 3);
  if (!ders) return invalid(ders.error());
  auto root = read_certificate((*ders)[2]);
  if (!root) return invalid(root.error());
  if (!is_anchor_key(*root, anchor)) return fail(ErrorCode::pck_chain_untrusted, "the chain ends in another root");
  auto ca = read_certificate((*ders)[1]);
  if (!ca) return invalid(ca.error());
  auto leaf = read_certificate((*ders)[0]);
  if (!leaf) return invalid(leaf.error());
  return ReadChain{.leaf = std::move(*leaf), .ca = std::move(*ca), .root = std::move(*root)};
}

CertificateFault check_chain(const ReadChain& chain, const TrustAnchor& anchor) {
  if (const CertificateFault fault = check_root(chain.root, anchor)) return fault;
  if (const CertificateFault fault = check_ca(chain.ca, chain.root)) return fault;
  if (!ca_kind_of(chain.ca, anchor)) return "CA name";
  if (const CertificateFault fault = check_end_entity(chain.leaf, chain.ca)) return fault;
  if (chain.leaf.common_name != anchor.pck_name) return "leaf name";
  return nullptr;
}

CertificateFault check_signer(const Certificate& signer, const Certificate& root, const TrustAnchor& anchor,
                              SignerRole role) {
  if (role == SignerRole::tcb_signing) {
    if (const CertificateFault fault = check_end_entity(signer, root)) return fault;
    return signer.common_name == anchor.tcb_signing_name ? nullptr : "signer name";
  }
  if (const CertificateFault fault = check_ca(signer, root)) return fault;
  return ca_kind_of(signer, anchor) ? nullptr : "CA name";
}

}  // namespace

Result<PckChain> verify_pck_chain(std::string_view pem, const TrustAnchor& anchor, UtcTime now) {
  const auto read = read_chain(pem, anchor);
  if (!read) return std::unexpected(read.error());
  if (const CertificateFault fault = check_chain(*read, anchor)) return fail(ErrorCode::pck_chain_invalid, fault);
  const Validity validity = intersection(intersection(read->leaf.validity, read->ca.validity), read->root.validity);
  if (!validity.contains(now)) return fail(ErrorCode::pck_certificate_expired);
  if (!read->leaf.sgx_extension) return fail(ErrorCode::pck_extension_invalid, "the certificate has none");
  const auto platform = parse_pck_extension(*read->leaf.sgx_extension);
  if (!platform) return std::unexpected(platform.error());
  return PckChain{.leaf_key = read->leaf.key,
                  .leaf_serial = read->leaf.serial,
                  .platform = *platform,
                  .ca_kind = *ca_kind_of(read->ca, anchor),
                  .ca_subject = read->ca.subject,
                  .ca_key = read->ca.key,
                  .ca_serial = read->ca.serial,
                  .validity = validity};
}

Result<void> check_dates(const PckChain& chain, UtcTime now) {
  if (!chain.validity.contains(now)) return fail(ErrorCode::pck_certificate_expired);
  return {};
}

std::expected<Signer, CertificateFault> verify_issuer_chain(std::string_view pem, const TrustAnchor& anchor,
                                                            SignerRole role) {
  const auto ders = split_pem_certificates(pem, 2);
  if (!ders) return std::unexpected(ders.error());
  const auto signer = read_certificate((*ders)[0]);
  if (!signer) return std::unexpected(signer.error());
  const auto root = read_certificate((*ders)[1]);
  if (!root) return std::unexpected(root.error());
  if (!is_anchor_key(*root, anchor)) return std::unexpected("the issuer chain ends in another root");
  if (const CertificateFault fault = check_root(*root, anchor)) return std::unexpected(fault);
  if (const CertificateFault fault = check_signer(*signer, *root, anchor, role)) return std::unexpected(fault);
  return Signer{.common_name = signer->common_name,
                .subject = signer->subject,
                .key = signer->key,
                .serial = signer->serial,
                .validity = intersection(signer->validity, root->validity)};
}

}  // namespace ee::attestation
