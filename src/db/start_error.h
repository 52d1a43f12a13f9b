#pragma once
#include <string>

namespace ee::db {

/// Why the database cannot be used by this process. Printed as one line at start; `exit_code` is the program's (4:
/// database, 6: guardrail).
struct StartError {
  std::string code;  ///< stable slug: `database_in_use`, `migration_checksum_mismatch`, ...
  int exit_code = 4;
  std::string detail;
};

}  // namespace ee::db
