#include "common/error_level.h"

#include <algorithm>
#include <array>

namespace ee {
namespace {

/// Codes of 5xx by which a limit or a switch of the operator refuses a request.
constexpr std::array<ErrorCode, 6> kMeant = {
    ErrorCode::capacity_reached, ErrorCode::maintenance,        ErrorCode::overloaded,
    ErrorCode::proxy_overloaded, ErrorCode::too_many_followers, ErrorCode::verifier_busy,
};

}  // namespace

log::Level log_level_of(ErrorCode code) {
  const int status = error_info(code).http_status;
  if (status >= 400 && status < 500) return log::Level::warn;
  return std::ranges::find(kMeant, code) != kMeant.end() ? log::Level::info : log::Level::error;
}

}  // namespace ee
