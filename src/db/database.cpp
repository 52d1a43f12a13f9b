#include "db/database.h"

namespace ee::db {

Result<std::int64_t> Transaction::execute(std::string_view sql, const Params& params,
                                          std::optional<OnUnique> on_unique) {
  return change(sql, params, on_unique);
}

Result<void> Transaction::announce(std::string_view /*topic*/) { return {}; }

}  // namespace ee::db
