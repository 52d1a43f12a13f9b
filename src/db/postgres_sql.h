#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ee::db {

/// A statement as PostgreSQL takes it: `:name` has become `$1`, `$2`, ... and `names` says whose value each number is.
/// A name that repeats keeps its number.
struct PostgresSql {
  std::string text;
  std::vector<std::string> names;
};

/// Rewrites the named parameters of `sql`. Quoted texts, quoted names, comments and `::` casts are left alone.
PostgresSql number_parameters(std::string_view sql);

}  // namespace ee::db
