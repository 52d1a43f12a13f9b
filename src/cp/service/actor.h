#pragma once
#include <string>

namespace ee::cp {

/// Who changes something, for the audit.
struct Actor {
  std::string name;  ///< `admin:<session>`
  std::string request_id;
  std::string client_address;
};

}  // namespace ee::cp
