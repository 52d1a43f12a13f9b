#include "attestation/tsm/emulator_pki.h"

#ifdef EE_EMULATOR

#include <array>

#include "common/json.h"

namespace ee::attestation {

namespace {

struct StoredPki {
  UtcTime issued_at;
  std::string pck_crl_issuer_chain;
  std::string root_ca_crl;
  std::string pck_crl;
  std::string tcb_info_issuer_chain;
  std::string tcb_info;
  std::string tcb_info_signature;
  std::string qe_identity_issuer_chain;
  std::string qe_identity;
  std::string qe_identity_signature;
  std::string qe_report;
  std::string qe_report_signature;
  std::string qe_auth_data;
  std::string attestation_key;
  std::string pck_chain;
};
BOOST_DESCRIBE_STRUCT(StoredPki, (),
                      (issued_at, pck_crl_issuer_chain, root_ca_crl, pck_crl, tcb_info_issuer_chain, tcb_info,
                       tcb_info_signature, qe_identity_issuer_chain, qe_identity, qe_identity_signature, qe_report,
                       qe_report_signature, qe_auth_data, attestation_key, pck_chain))
constexpr auto json_rules(json::For<StoredPki> /*type*/) {
  return std::array{json::field("root_ca_crl").hex(0),          json::field("pck_crl").hex(0),
                    json::field("tcb_info_signature").hex(128), json::field("qe_identity_signature").hex(128),
                    json::field("qe_report").hex(768),          json::field("qe_report_signature").hex(128),
                    json::field("qe_auth_data").hex(64),        json::field("attestation_key").hex(128)};
}

template <std::size_t N>
ByteArray<N> bytes_of_hex(const std::string& hex) {
  return from_hex_exact<N>(hex).value();  // the rules above have checked it
}

}  // namespace

std::string write_emulator_pki(const EmulatorPki& pki) {
  const EmulatedCollateral& collateral = pki.collateral();
  const EmulatedQe& qe = pki.qe();
  return json::write(StoredPki{.issued_at = pki.issued_at(),
                               .pck_crl_issuer_chain = collateral.pck_crl_issuer_chain,
                               .root_ca_crl = to_hex(collateral.root_ca_crl),
                               .pck_crl = to_hex(collateral.pck_crl),
                               .tcb_info_issuer_chain = collateral.tcb_info_issuer_chain,
                               .tcb_info = collateral.tcb_info,
                               .tcb_info_signature = to_hex(collateral.tcb_info_signature),
                               .qe_identity_issuer_chain = collateral.qe_identity_issuer_chain,
                               .qe_identity = collateral.qe_identity,
                               .qe_identity_signature = to_hex(collateral.qe_identity_signature),
                               .qe_report = to_hex(qe.report),
                               .qe_report_signature = to_hex(qe.report_signature),
                               .qe_auth_data = to_hex(qe.auth_data),
                               .attestation_key = to_hex(qe.attestation_key),
                               .pck_chain = qe.pck_chain.substr(0, qe.pck_chain.find('\0'))});
}

std::optional<EmulatorPki> read_emulator_pki(EmulationAllowed allowed, std::string_view text) {
  const auto stored = json::read<StoredPki>(text);
  if (!stored) return std::nullopt;
  EmulatedCollateral collateral{.pck_crl = from_hex(stored->pck_crl).value(),
                                .root_ca_crl = from_hex(stored->root_ca_crl).value(),
                                .tcb_info = stored->tcb_info,
                                .qe_identity = stored->qe_identity,
                                .tcb_info_signature = bytes_of_hex<64>(stored->tcb_info_signature),
                                .qe_identity_signature = bytes_of_hex<64>(stored->qe_identity_signature),
                                .tcb_info_issuer_chain = stored->tcb_info_issuer_chain,
                                .qe_identity_issuer_chain = stored->qe_identity_issuer_chain,
                                .pck_crl_issuer_chain = stored->pck_crl_issuer_chain};
  EmulatedQe qe{.report = bytes_of_hex<384>(stored->qe_report),
                .report_signature = bytes_of_hex<64>(stored->qe_report_signature),
                .auth_data = from_hex(stored->qe_auth_data).value(),
                .attestation_key = bytes_of_hex<64>(stored->attestation_key),
                .pck_chain = stored->pck_chain + '\0'};
  return EmulatorPki(allowed, stored->issued_at, std::move(collateral), std::move(qe));
}

}  // namespace ee::attestation

#endif
