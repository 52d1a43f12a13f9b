#include "tests/standins/pcs/pcs_content.h"

#include "attestation/tsm/emulated_collateral.h"
#include "attestation/verify/crl.h"

namespace ee::standins {
namespace {

std::string der_text(const std::string& crl_body) {
  const auto der = attestation::crl_der(crl_body);
  return der ? std::string(text_of(*der)) : crl_body;
}

}  // namespace

PcsContent PcsContent::of(const attestation::Collateral& collateral, const std::string& fmspc, const std::string& ca) {
  PcsContent content;
  content.tcb_infos[fmspc] = {collateral.tcb_info->body(), collateral.tcb_info->issuer_chain()};
  content.qe_identity = {collateral.qe_identity->body(), collateral.qe_identity->issuer_chain()};
  content.pck_crls[ca] = {der_text(collateral.pck_crl->body()), collateral.pck_crl->issuer_chain()};
  content.root_crl = {der_text(collateral.root_crl->body()), ""};
  return content;
}

PcsContent PcsContent::emulated(const attestation::EmulatorPkiOptions& options) {
  const auto allowed = attestation::EmulationAllowed::check("dev", true).value();
  const attestation::EmulatorPki pki(allowed, options);
  return of(attestation::to_collateral(pki.collateral()), to_hex(options.fmspc), "platform");
}

}  // namespace ee::standins
