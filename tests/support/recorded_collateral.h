#pragma once
#include <boost/describe.hpp>
#include <memory>
#include <stdexcept>
#include <string>

#include "attestation/quote/quote.h"
#include "attestation/verify/collateral.h"
#include "attestation/verify/collateral_checks.h"
#include "attestation/verify/signed_json.h"
#include "common/json.h"
#include "tests/support/vectors.h"

namespace ee::testing {

/// A collateral file of the recorded evidence. CRLs are hexadecimal DER; `tcb_info` and `qe_identity` are the exact
/// signed texts.
struct RecordedCollateral {
  std::string pck_crl_issuer_chain;
  std::string root_ca_crl;
  std::string pck_crl;
  std::string tcb_info_issuer_chain;
  std::string tcb_info;
  std::string tcb_info_signature;
  std::string qe_identity_issuer_chain;
  std::string qe_identity;
  std::string qe_identity_signature;

  std::string tcb_info_body() const {
    return attestation::join_signed_json(attestation::kTcbInfoMember, tcb_info, tcb_info_signature);
  }
  std::string qe_identity_body() const {
    return attestation::join_signed_json(attestation::kQeIdentityMember, qe_identity, qe_identity_signature);
  }
  attestation::Collateral items() const {
    const auto item = [](std::string body, std::string chain) {
      return std::make_shared<const attestation::CollateralItem>(std::move(body), std::move(chain));
    };
    return {.root_crl = item(root_ca_crl, ""),
            .pck_crl = item(pck_crl, pck_crl_issuer_chain),
            .tcb_info = item(tcb_info_body(), tcb_info_issuer_chain),
            .qe_identity = item(qe_identity_body(), qe_identity_issuer_chain)};
  }
};
BOOST_DESCRIBE_STRUCT(RecordedCollateral, (),
                      (pck_crl_issuer_chain, root_ca_crl, pck_crl, tcb_info_issuer_chain, tcb_info, tcb_info_signature,
                       qe_identity_issuer_chain, qe_identity, qe_identity_signature))

inline RecordedCollateral read_recorded_collateral(const std::string& name) {
  auto read = json::read<RecordedCollateral>(read_vector_text(name));
  if (!read) throw std::runtime_error("recorded collateral cannot be read: " + name);
  return std::move(*read);
}

inline attestation::Quote read_recorded_quote(
    const std::string& name, attestation::TrailingPolicy trailing = attestation::TrailingPolicy::zeros) {
  auto quote = attestation::parse_quote(read_vector(name), trailing);
  if (!quote) throw std::runtime_error("recorded quote cannot be read: " + name + ": " + quote.error().detail);
  return std::move(*quote);
}

/// A time as the specification and the evidence write it; throws on a typing error.
inline UtcTime at(std::string_view rfc3339) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time) throw std::runtime_error("no time: " + std::string(rfc3339));
  return *time;
}

}  // namespace ee::testing
