// TCB info: cutting the body and reading the document stay inside their input, levels come out sorted, and judging a
// platform by whatever was read ends in a verdict or a refusal.
#include "attestation/verify/tcb_info.h"

#include <algorithm>
#include <tuple>

#include "attestation/verify/signed_json.h"
#include "attestation/verify/tcb_evaluation.h"
#include "common/require.h"

namespace {

using namespace ee::attestation;

void judge(std::string_view json) {
  const auto document = parse_tcb_info(json);
  if (!document || !document->contents) return;
  const TcbInfo& info = *document->contents;
  ee::require(!info.levels.empty());
  ee::require(std::ranges::is_sorted(info.levels, [](const TcbLevel& a, const TcbLevel& b) {
    return std::tie(a.sgx_components, a.pcesvn, a.tdx_components) >
           std::tie(b.sgx_components, b.pcesvn, b.tdx_components);
  }));
  PckExtension platform{};
  platform.components.fill(0xff);
  platform.pcesvn = 0xffff;
  ee::ByteArray<16> svn;
  svn.fill(0xff);
  const auto unknown = evaluate_platform(info, platform, svn);
  if (unknown) ee::require(!info.module_identities.empty());
  svn[1] = 0;
  const auto verdict = evaluate_platform(info, platform, svn);
  // A platform with the highest numbers there are reaches the first level, unless that asks for module version 1.
  if (info.levels.front().tdx_components[1] == 0) ee::require(verdict.has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  judge(text);
  if (const auto parts = split_signed_json(text, "tcbInfo")) {
    ee::require(parts->document.data() >= text.data() &&
                parts->document.data() + parts->document.size() <= text.data() + text.size());
    ee::require(parts->document.front() == '{' && parts->document.back() == '}');
    judge(parts->document);
  }
  return 0;
}
