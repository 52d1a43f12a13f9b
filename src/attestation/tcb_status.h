#pragma once
#include <boost/describe/enum.hpp>
#include <optional>
#include <string_view>

namespace ee::attestation {

/// The state of a platform's trusted computing base. The enumerators are Intel's own texts, since JSON and database
/// columns show them; their order is from best to worst, so that the worse of two verdicts is the greater one.
/// `TDRelaunch*` come from the relaunch rule for TD report 1.5; `Unknown` is a token's text that we do not know.
/// Source: Intel PCS API v4 (TCB info, TDX QE identity); order: the product's verifier mode `both`.
enum class TcbStatus {
  UpToDate,
  SWHardeningNeeded,
  ConfigurationNeeded,
  ConfigurationAndSWHardeningNeeded,
  TDRelaunchAdvised,
  TDRelaunchAdvisedConfigurationNeeded,
  OutOfDate,
  OutOfDateConfigurationNeeded,
  Unknown,
  Revoked,
};
BOOST_DESCRIBE_ENUM(TcbStatus, UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded,
                    TDRelaunchAdvised, TDRelaunchAdvisedConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded,
                    Unknown, Revoked)

/// The text of a status. Never fails.
std::string_view to_string(TcbStatus status);
/// The status of a text, byte for byte, or nothing.
std::optional<TcbStatus> tcb_status_of(std::string_view text);
/// The worse of two verdicts on one platform.
constexpr TcbStatus worse(TcbStatus a, TcbStatus b) { return a < b ? b : a; }

}  // namespace ee::attestation
