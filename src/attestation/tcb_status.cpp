#include "attestation/tcb_status.h"

#include <array>
#include <cstdlib>

namespace ee::attestation {

std::string_view to_string(TcbStatus status) {
  switch (status) {
    case TcbStatus::UpToDate: return "UpToDate";
    case TcbStatus::SWHardeningNeeded: return "SWHardeningNeeded";
    case TcbStatus::ConfigurationNeeded: return "ConfigurationNeeded";
    case TcbStatus::ConfigurationAndSWHardeningNeeded: return "ConfigurationAndSWHardeningNeeded";
    case TcbStatus::TDRelaunchAdvised: return "TDRelaunchAdvised";
    case TcbStatus::TDRelaunchAdvisedConfigurationNeeded: return "TDRelaunchAdvisedConfigurationNeeded";
    case TcbStatus::OutOfDate: return "OutOfDate";
    case TcbStatus::OutOfDateConfigurationNeeded: return "OutOfDateConfigurationNeeded";
    case TcbStatus::Unknown: return "Unknown";
    case TcbStatus::Revoked: return "Revoked";
  }
  std::abort();
}

std::optional<TcbStatus> tcb_status_of(std::string_view text) {
  constexpr std::array kAll = {
      TcbStatus::UpToDate,
      TcbStatus::SWHardeningNeeded,
      TcbStatus::ConfigurationNeeded,
      TcbStatus::ConfigurationAndSWHardeningNeeded,
      TcbStatus::TDRelaunchAdvised,
      TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
      TcbStatus::OutOfDate,
      TcbStatus::OutOfDateConfigurationNeeded,
      TcbStatus::Unknown,
      TcbStatus::Revoked,
  };
  for (const TcbStatus status : kAll)
    if (to_string(status) == text) return status;
  return std::nullopt;
}

}  // namespace ee::attestation
