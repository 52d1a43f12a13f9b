#include "attestation/tsm/emulator_pki.h"

#ifdef EE_EMULATOR
#include <algorithm>

#include "attestation/quote/layout.h"
#include "attestation/tsm/emulator_collateral.h"
#include "attestation/tsm/emulator_keys.h"
#include "common/crypto.h"
#endif

namespace ee::attestation {

#ifndef EE_EMULATOR

ByteArray<65> emulator_root_public_key() { return {}; }

#else

namespace {

using emulator::P256Key;

constexpr const char* kPlatformCaName = "Intel SGX PCK Platform CA";
constexpr const char* kPckName = "Intel SGX PCK Certificate";
constexpr const char* kTcbSigningName = "Intel SGX TCB Signing";
constexpr auto kMaxAge = std::chrono::days(20);

std::string label_of(std::string_view key_label, std::string_view role) {
  return std::string(key_label) + ": " + std::string(role);
}

/// All keys of one label, and the certificates they make.
class Authority {
 public:
  explicit Authority(const EmulatorPkiOptions& options)
      : options_(options),
        root_(key("root")),
        platform_ca_(key("platform CA")),
        pck_(key("PCK")),
        tcb_signing_(key("TCB signing")),
        attestation_(P256Key::from_label(attestation_key_label(options.key_label))) {}

  EmulatedCollateral collateral() const {
    const std::string root = root_certificate();
    const std::string tcb_chain =
        certificate(kTcbSigningName, "TCB signing", tcb_signing_, kEmulatorRootName, root_, -1) + root;
    const auto next_update = options_.issued_at + options_.collateral_validity;
    EmulatedCollateral out;
    out.root_ca_crl = emulator::make_crl({.issuer = kEmulatorRootName,
                                          .issuer_key = root_,
                                          .this_update = options_.issued_at,
                                          .next_update = next_update,
                                          .revoked_serials = revoked_by_root()});
    out.pck_crl = emulator::make_crl({.issuer = kPlatformCaName,
                                      .issuer_key = platform_ca_,
                                      .this_update = options_.issued_at,
                                      .next_update = next_update,
                                      .revoked_serials = revoked_by_platform_ca()});
    out.tcb_info = emulator::make_tcb_info(options_);
    out.tcb_info_signature = tcb_signing_.sign(bytes_of(out.tcb_info));
    out.qe_identity = emulator::make_qe_identity(options_);
    out.qe_identity_signature = tcb_signing_.sign(bytes_of(out.qe_identity));
    out.tcb_info_issuer_chain = tcb_chain;
    out.qe_identity_issuer_chain = tcb_chain;
    out.pck_crl_issuer_chain = platform_ca_certificate() + root;
    return out;
  }

  EmulatedQe qe() const {
    EmulatedQe out;
    out.auth_data.resize(32);
    for (std::size_t i = 0; i < out.auth_data.size(); ++i) out.auth_data[i] = static_cast<std::uint8_t>(i);
    out.attestation_key = attestation_.public_key();
    out.report = qe_report(out);
    out.report_signature = pck_.sign(out.report);
    out.pck_chain = pck_certificate() + platform_ca_certificate() + root_certificate() + '\0';
    return out;
  }

 private:
  P256Key key(std::string_view role) const { return P256Key::from_label(label_of(options_.key_label, role)); }
  ByteVector serial(std::string_view role) const {
    return emulator::serial_of(label_of(options_.key_label, std::string(role) + " serial"));
  }

  std::string certificate(const char* subject, std::string_view role, const P256Key& subject_key, const char* issuer,
                          const P256Key& issuer_key, int ca_path_length, ByteVector sgx_extension = {}) const {
    return emulator::make_certificate({.subject = subject,
                                       .issuer = issuer,
                                       .serial = serial(role),
                                       .subject_key = subject_key,
                                       .issuer_key = issuer_key,
                                       .not_before = options_.certificates_from,
                                       .not_after = options_.certificates_until,
                                       .ca_path_length = ca_path_length,
                                       .sgx_extension = std::move(sgx_extension)});
  }
  std::string root_certificate() const {
    return certificate(kEmulatorRootName, "root", root_, kEmulatorRootName, root_, 1);
  }
  std::string platform_ca_certificate() const {
    return certificate(kPlatformCaName, "platform CA", platform_ca_, kEmulatorRootName, root_, 0);
  }
  std::string pck_certificate() const {
    emulator::SgxExtension facts{.ppid = {},
                                 .component_svns = options_.component_svns,
                                 .pcesvn = options_.pcesvn,
                                 .pceid = options_.pceid,
                                 .fmspc = options_.fmspc};
    const auto hash = sha256(bytes_of(label_of(options_.key_label, "PPID")));
    std::copy_n(hash.begin(), facts.ppid.size(), facts.ppid.begin());
    return certificate(kPckName, "PCK", pck_, kPlatformCaName, platform_ca_, -1, emulator::make_sgx_extension(facts));
  }

  std::vector<ByteVector> revoked_by_root() const {
    std::vector<ByteVector> out;
    if (options_.revoke_platform_ca) out.push_back(serial("platform CA"));
    if (options_.revoke_tcb_signer) out.push_back(serial("TCB signing"));
    return out;
  }
  std::vector<ByteVector> revoked_by_platform_ca() const {
    std::vector<ByteVector> out = {emulator::serial_of("some other platform")};
    if (options_.revoke_pck) out.push_back(serial("PCK"));
    return out;
  }

  ByteArray<384> qe_report(const EmulatedQe& qe) const {
    ByteArray<384> report{};
    const auto put = [&report](std::size_t offset, Bytes value) {
      std::ranges::copy(value, report.begin() + static_cast<std::ptrdiff_t>(offset));
    };
    put(layout::qe_report::CpuSvn::offset, options_.component_svns);
    put(layout::qe_report::Attributes::offset, ByteArray<1>{emulator::kQeAttributes});
    put(layout::qe_report::MrEnclave::offset, sha256(bytes_of("easyenclave emulated QE")));
    put(layout::qe_report::MrSigner::offset, emulator::qe_mrsigner());
    put(layout::qe_report::IsvProdId::offset, ByteArray<2>{emulator::kQeIsvProdId, 0});
    put(layout::qe_report::IsvSvn::offset, ByteArray<2>{emulator::kQeIsvSvn, 0});
    ByteVector bound(qe.attestation_key.begin(), qe.attestation_key.end());
    append(bound, qe.auth_data);
    put(layout::qe_report::ReportData::offset, sha256(bound));
    return report;
  }

  const EmulatorPkiOptions& options_;
  P256Key root_;
  P256Key platform_ca_;
  P256Key pck_;
  P256Key tcb_signing_;
  P256Key attestation_;
};

EmulatorPkiOptions in_whole_seconds(EmulatorPkiOptions options) {
  options.issued_at = std::chrono::floor<std::chrono::seconds>(options.issued_at);
  return options;
}

}  // namespace

std::string attestation_key_label(std::string_view key_label) { return label_of(key_label, "attestation"); }

ByteArray<65> emulator_root_public_key() {
  static const ByteArray<65> key = [] {
    const EmulatorPkiOptions published{.issued_at = {}};
    const auto point = P256Key::from_label(label_of(published.key_label, "root")).public_key();
    ByteArray<65> out = {4};
    std::ranges::copy(point, out.begin() + 1);
    return out;
  }();
  return key;
}

EmulatorPki::EmulatorPki(EmulationAllowed /*allowed*/, const EmulatorPkiOptions& given) {
  const EmulatorPkiOptions options = in_whole_seconds(given);
  const Authority authority(options);
  issued_at_ = options.issued_at;
  collateral_ = authority.collateral();
  qe_ = authority.qe();
}

EmulatorPki::EmulatorPki(EmulationAllowed /*allowed*/, UtcTime issued_at, EmulatedCollateral collateral, EmulatedQe qe)
    : issued_at_(issued_at), collateral_(std::move(collateral)), qe_(std::move(qe)) {}

bool EmulatorPki::is_stale(UtcTime now) const { return now < issued_at_ || now - issued_at_ > kMaxAge; }

#endif

}  // namespace ee::attestation
