#include "attestation/verify/tcb_evaluation.h"

#include <algorithm>

namespace ee::attestation {
namespace {

/// Bytes of TEE_TCB_SVN. Source: Intel TDX Module 1.5 ABI, TEE_TCB_SVN.
constexpr std::size_t kModuleSvn = 0;
constexpr std::size_t kModuleVersion = 1;
constexpr std::size_t kAfterModule = 2;

using Svns = std::span<const std::uint8_t>;

bool reaches(Svns actual, Svns wanted) {
  return std::ranges::equal(actual, wanted, [](std::uint8_t have, std::uint8_t need) { return have >= need; });
}

/// nullptr when the module is judged by `tdxModule` and the TDX components alone.
Result<const TdxModuleIdentity*> find_identity(const TcbInfo& info, std::span<const std::uint8_t, 16> tee_tcb_svn) {
  const std::uint8_t version = tee_tcb_svn[kModuleVersion];
  if (version == 0) return nullptr;
  const auto found = std::ranges::find(info.module_identities, version, &TdxModuleIdentity::version);
  if (found == info.module_identities.end()) return fail(ErrorCode::tdx_module_unsupported);
  return &*found;
}

bool is_out_of_date(TcbStatus status) {
  return status == TcbStatus::OutOfDate || status == TcbStatus::OutOfDateConfigurationNeeded;
}
bool needs_configuration(TcbStatus status) {
  return status == TcbStatus::ConfigurationNeeded || status == TcbStatus::ConfigurationAndSWHardeningNeeded;
}

}  // namespace

const IsvLevel* matching_level(const std::vector<IsvLevel>& levels, std::uint16_t isvsvn) {
  const auto found = std::ranges::find_if(levels, [&](const IsvLevel& level) { return level.isvsvn <= isvsvn; });
  return found == levels.end() ? nullptr : &*found;
}

const TcbLevel* matching_platform_level(const TcbInfo& info, const PckExtension& platform,
                                        std::span<const std::uint8_t, 16> tee_tcb_svn) {
  const std::size_t from = tee_tcb_svn[kModuleVersion] == 0 ? 0 : kAfterModule;
  const auto found = std::ranges::find_if(info.levels, [&](const TcbLevel& level) {
    return reaches(platform.components, level.sgx_components) && platform.pcesvn >= level.pcesvn &&
           reaches(tee_tcb_svn.subspan(from), Svns(level.tdx_components).subspan(from));
  });
  return found == info.levels.end() ? nullptr : &*found;
}

TcbStatus converge(TcbStatus part, TcbStatus platform) {
  if (part == TcbStatus::Revoked) return TcbStatus::Revoked;
  if (part != TcbStatus::OutOfDate) return platform;
  switch (platform) {
    case TcbStatus::UpToDate:
    case TcbStatus::SWHardeningNeeded:
    case TcbStatus::TDRelaunchAdvised: return TcbStatus::OutOfDate;
    case TcbStatus::ConfigurationNeeded:
    case TcbStatus::ConfigurationAndSWHardeningNeeded:
    case TcbStatus::TDRelaunchAdvisedConfigurationNeeded: return TcbStatus::OutOfDateConfigurationNeeded;
    case TcbStatus::OutOfDate:
    case TcbStatus::OutOfDateConfigurationNeeded:
    case TcbStatus::Unknown:
    case TcbStatus::Revoked: return platform;
  }
  return TcbStatus::Unknown;
}

TcbStatus with_relaunch(TcbStatus launch, TcbStatus current) {
  const bool current_is_good =
      current == TcbStatus::UpToDate || current == TcbStatus::SWHardeningNeeded || needs_configuration(current);
  if (!is_out_of_date(launch) || !current_is_good) return launch;
  if (launch == TcbStatus::OutOfDateConfigurationNeeded || needs_configuration(current))
    return TcbStatus::TDRelaunchAdvisedConfigurationNeeded;
  return TcbStatus::TDRelaunchAdvised;
}

Result<void> check_platform(const TcbInfo& info, const PckExtension& platform) {
  if (info.fmspc != platform.fmspc) return fail(ErrorCode::tcb_info_mismatch, "fmspc");
  if (info.pceid != platform.pceid) return fail(ErrorCode::tcb_info_mismatch, "pceId");
  return {};
}

Result<void> check_module(const TcbInfo& info, const ModuleFacts& facts) {
  const auto identity = find_identity(info, facts.tee_tcb_svn);
  if (!identity) return std::unexpected(identity.error());
  const TdxModule& wanted = *identity == nullptr ? info.module : (*identity)->module;
  if (!std::ranges::equal(facts.mrsignerseam, wanted.mrsigner))
    return fail(ErrorCode::tdx_module_mismatch, "MRSIGNERSEAM");
  for (std::size_t i = 0; i < wanted.attributes.size(); ++i) {
    const auto actual = static_cast<std::uint8_t>(facts.seam_attributes >> (8 * i));
    const std::uint8_t mask = wanted.attributes_mask[i];
    if ((actual & mask) != wanted.attributes[i] || (actual & ~mask) != 0)
      return fail(ErrorCode::tdx_module_mismatch, "SEAMATTRIBUTES");
  }
  return {};
}

Result<TcbVerdict> evaluate_platform(const TcbInfo& info, const PckExtension& platform,
                                     std::span<const std::uint8_t, 16> tee_tcb_svn) {
  const auto identity = find_identity(info, tee_tcb_svn);
  if (!identity) return std::unexpected(identity.error());
  const IsvLevel* module = nullptr;
  if (*identity != nullptr) {
    module = matching_level((*identity)->levels, tee_tcb_svn[kModuleSvn]);
    if (module == nullptr) return fail(ErrorCode::tcb_not_supported, "no level for the TDX module");
  }
  const TcbLevel* level = matching_platform_level(info, platform, tee_tcb_svn);
  if (level == nullptr) return fail(ErrorCode::tcb_not_supported, "no level for the platform");

  TcbVerdict verdict = level->verdict;
  if (module != nullptr) verdict.status = converge(module->verdict.status, verdict.status);
  unite(verdict.advisories, module == nullptr ? std::vector<std::string>{} : module->verdict.advisories);
  return verdict;
}

void unite(std::vector<std::string>& advisories, const std::vector<std::string>& more) {
  advisories.insert(advisories.end(), more.begin(), more.end());
  std::ranges::sort(advisories);
  const auto doubled = std::ranges::unique(advisories);
  advisories.erase(doubled.begin(), doubled.end());
}

}  // namespace ee::attestation
