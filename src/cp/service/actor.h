#pragma once
#include <string>

namespace ee::cp {

/// Who changes something, for the audit.
struct Actor {
  std::string name;                 ///< `admin:<session>`, `account:<key>`, `system:<job>`, ... (04 section 12)
  std::string request_id = {};      ///< empty: no request asked for it
  std::string client_address = {};  ///< empty: the same
  bool is_admin = false;            ///< an administrator's session
};

}  // namespace ee::cp
