#pragma once
#include <optional>
#include <string_view>

#include "common/error.h"
#include "db/database.h"

namespace ee::db {

/// SQLSTATE of a lost or never made connection.
constexpr std::string_view kConnectionLost = "08006";

/// The error that a failed statement is. `message` is the server's primary message; it is left out where it repeats
/// values.
Error postgres_error(std::string_view sqlstate, std::string_view message, std::optional<OnUnique> on_unique);

/// The server gave up this transaction for another's sake: the same work may succeed when it is done again.
bool may_succeed_again(std::string_view sqlstate);

}  // namespace ee::db
