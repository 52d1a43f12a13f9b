#pragma once
#include <span>
#include <vector>

#include "attestation/verify/pck_extension.h"
#include "attestation/verify/tcb_info.h"

namespace ee::attestation {

/// The first level, of levels sorted with the highest first, that `isvsvn` reaches; nullptr when it reaches none.
const IsvLevel* matching_level(const std::vector<IsvLevel>& levels, std::uint16_t isvsvn);

/// The first platform level that the platform reaches; nullptr when it reaches none. Where the TDX module has an
/// identity of its own (TEE_TCB_SVN[1] is not 0), bytes 0 and 1 are judged there and skipped here.
/// Source: 01 section 10.2 step 10; Intel PCS API v4, "Get TDX TCB Info", note on TCB level selection.
const TcbLevel* matching_platform_level(const TcbInfo& info, const PckExtension& platform,
                                        std::span<const std::uint8_t, 16> tee_tcb_svn);

/// What the status of a part (TDX module or QE) makes of the platform's. Source: 01 section 10.4. A relaunch advice is
/// void while the QE is out of date (as in Intel's library): relaunching would not help.
TcbStatus converge(TcbStatus part, TcbStatus platform);

/// What a TD report 1.5 tells: `launch` is the status when the TD started, `current` the one it would start with now.
TcbStatus with_relaunch(TcbStatus launch, TcbStatus current);

/// Whether TCB info speaks about this platform. errors: tcb_info_mismatch
[[nodiscard]] Result<void> check_platform(const TcbInfo& info, const PckExtension& platform);

/// Whether the TDX module is one that Intel signed and knows. errors: tdx_module_unsupported, tdx_module_mismatch
struct ModuleFacts {
  std::span<const std::uint8_t, 16> tee_tcb_svn;
  std::span<const std::uint8_t, 48> mrsignerseam;
  std::uint64_t seam_attributes;
};
[[nodiscard]] Result<void> check_module(const TcbInfo& info, const ModuleFacts& module);

/// The verdict on platform and TDX module together. errors: tdx_module_unsupported, tcb_not_supported
[[nodiscard]] Result<TcbVerdict> evaluate_platform(const TcbInfo& info, const PckExtension& platform,
                                                   std::span<const std::uint8_t, 16> tee_tcb_svn);

/// Adds advisories, keeping them sorted and single.
void unite(std::vector<std::string>& advisories, const std::vector<std::string>& more);

}  // namespace ee::attestation
