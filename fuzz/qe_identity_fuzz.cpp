// QE identity: as TCB info; and a QE report is judged by whatever identity was read.
#include "attestation/verify/qe_identity.h"

#include <algorithm>

#include "attestation/verify/signed_json.h"
#include "common/require.h"

namespace {

using namespace ee::attestation;

void judge(std::string_view json) {
  const auto document = parse_qe_identity(json);
  if (!document || !document->contents) return;
  const QeIdentity& identity = *document->contents;
  ee::require(std::ranges::is_sorted(identity.levels, std::ranges::greater{}, &IsvLevel::isvsvn));
  ee::ByteArray<384> report{};
  std::ranges::copy(identity.attributes, report.begin() + 48);
  std::ranges::copy(identity.miscselect, report.begin() + 16);
  std::ranges::copy(identity.mrsigner, report.begin() + 128);
  report[256] = static_cast<std::uint8_t>(identity.isvprodid);
  report[257] = static_cast<std::uint8_t>(identity.isvprodid >> 8);
  report[258] = report[259] = 0xff;
  const auto verdict = check_qe_report(identity, report);
  // Refused only for what no report can be: bits outside the mask, or a debug enclave.
  if (verdict) ee::require((report[48] & 0x02) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  judge(text);
  if (const auto parts = split_signed_json(text, "enclaveIdentity")) judge(parts->document);
  return 0;
}
