#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"

namespace ee::cp {

/// The parameters of a query, percent-decoded once. At most 50; a name that stands twice, a broken escape, text that is
/// not UTF-8 or a name that is not in `known` is `invalid_request` with the field named.
class Query {
 public:
  static Result<Query> parse(std::string_view text, const std::vector<std::string_view>& known);

  /// Nothing when absent.
  std::optional<std::string> text(std::string_view name) const;
  /// `true` or `false`. Errors: invalid_request.
  Result<std::optional<bool>> flag(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

/// `invalid_request` for one query parameter.
Error bad_query(std::string_view name, std::string_view code, std::string detail);

}  // namespace ee::cp
