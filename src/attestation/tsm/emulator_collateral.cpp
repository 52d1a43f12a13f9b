#include "attestation/tsm/emulator_collateral.h"

#ifdef EE_EMULATOR

#include <fmt/format.h>

#include <algorithm>

#include "common/crypto.h"

namespace ee::attestation {

namespace {

constexpr std::string_view kTcbDate = "2025-01-01T00:00:00Z";
constexpr std::string_view kNoSigner =
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
  return text;
}

/// Intel's form: seconds, no fraction.
std::string date_of(UtcTime time) { return to_rfc3339(time).substr(0, 19) + "Z"; }

std::string advisories_member(const std::vector<std::string>& advisories) {
  if (advisories.empty()) return {};
  return fmt::format(R"(,"advisoryIDs":["{}"])", fmt::join(advisories, R"(",")"));
}

std::string components(const ByteArray<16>& svns) {
  std::string out;
  for (const std::uint8_t svn : svns) out += fmt::format(R"({}{{"svn":{}}})", out.empty() ? "" : ",", svn);
  return "[" + out + "]";
}

std::string platform_levels(const std::vector<EmulatedPlatformLevel>& levels) {
  std::string out;
  for (const auto& level : levels)
    out += fmt::format(
        R"({}{{"tcb":{{"sgxtcbcomponents":{},"pcesvn":{},"tdxtcbcomponents":{}}},"tcbDate":"{}","tcbStatus":"{}"{}}})",
        out.empty() ? "" : ",", components(level.sgx_components), level.pcesvn, components(level.tdx_components),
        kTcbDate, to_string(level.status), advisories_member(level.advisories));
  return "[" + out + "]";
}

std::string isv_levels(const std::vector<EmulatedIsvLevel>& levels) {
  std::string out;
  for (const auto& level : levels)
    out += fmt::format(R"({}{{"tcb":{{"isvsvn":{}}},"tcbDate":"{}","tcbStatus":"{}"{}}})", out.empty() ? "" : ",",
                       level.isvsvn, kTcbDate, to_string(level.status), advisories_member(level.advisories));
  return "[" + out + "]";
}

std::string dates_member(const EmulatorPkiOptions& options) {
  return fmt::format(R"("issueDate":"{}","nextUpdate":"{}")", date_of(options.issued_at),
                     date_of(options.issued_at + options.collateral_validity));
}

}  // namespace

namespace emulator {

ByteArray<32> qe_mrsigner() { return sha256(bytes_of("easyenclave emulated QE signer")); }

std::string make_tcb_info(const EmulatorPkiOptions& options) {
  const std::string identity = fmt::format(R"("mrsigner":"{}","attributes":"0000000000000000",)"
                                           R"("attributesMask":"FFFFFFFFFFFFFFFF")",
                                           kNoSigner);
  return fmt::format(R"({{"id":"TDX","version":3,{},"fmspc":"{}","pceId":"{}","tcbType":0,)"
                     R"("tcbEvaluationDataNumber":{},"tdxModule":{{{}}},)"
                     R"("tdxModuleIdentities":[{{"id":"TDX_01",{},"tcbLevels":{}}}],"tcbLevels":{}}})",
                     dates_member(options), upper(to_hex(options.fmspc)), upper(to_hex(options.pceid)),
                     options.tcb_evaluation_data_number, identity, identity, isv_levels(options.module_levels),
                     platform_levels(options.levels));
}

std::string make_qe_identity(const EmulatorPkiOptions& options) {
  return fmt::format(R"({{"id":"TD_QE","version":2,{},"tcbEvaluationDataNumber":{},"miscselect":"00000000",)"
                     R"("miscselectMask":"FFFFFFFF","attributes":"{:02X}000000000000000000000000000000",)"
                     R"("attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"{}","isvprodid":{},)"
                     R"("tcbLevels":{}}})",
                     dates_member(options), options.tcb_evaluation_data_number, kQeAttributes,
                     upper(to_hex(qe_mrsigner())), kQeIsvProdId, isv_levels(options.qe_levels));
}

}  // namespace emulator

std::string EmulatedCollateral::tcb_info_body() const {
  return fmt::format(R"({{"tcbInfo":{},"signature":"{}"}})", tcb_info, to_hex(tcb_info_signature));
}

std::string EmulatedCollateral::qe_identity_body() const {
  return fmt::format(R"({{"enclaveIdentity":{},"signature":"{}"}})", qe_identity, to_hex(qe_identity_signature));
}

}  // namespace ee::attestation

#endif
