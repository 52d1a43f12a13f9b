#pragma once
#include <string>
#include <vector>

#include "common/error.h"
#include "db/served_database.h"

namespace ee::cp {

/// Sets the guards (see `prepare_schema`) that are missing or differ from this program's; their names, in alphabetical
/// order.
Result<std::vector<std::string>> set_guards(db::SchemaSession& session);

}  // namespace ee::cp
