#include "common/error.h"

#include <algorithm>

#include "common/require.h"

namespace ee {

const std::vector<ErrorInfo>& error_table() {
  static const std::vector<ErrorInfo> table = {
#define EE_ERROR(slug, status, area, title, meaning, remedy) \
  ErrorInfo{ErrorCode::slug, #slug, status, #area, title, meaning, remedy},
#include "common/error_codes.inc"
#undef EE_ERROR
  };
  return table;
}

const ErrorInfo& error_info(ErrorCode code) {
  const auto index = static_cast<std::size_t>(code);
  require(index < error_table().size());
  return error_table()[index];
}

std::optional<ErrorCode> error_code_of(std::string_view slug) {
  const auto& table = error_table();
  const auto found = std::ranges::lower_bound(table, slug, {}, &ErrorInfo::slug);
  if (found == table.end() || found->slug != slug) return std::nullopt;
  return found->code;
}

}  // namespace ee
