#pragma once
#include <string>

#include "common/error.h"
#include "common/random.h"

namespace ee::agent {

/// This agent among others on one container engine: the UUID in `data_dir/instance`, made at the first start. Errors:
/// internal_error.
Result<std::string> own_instance(const std::string& data_dir, Random& random);

}  // namespace ee::agent
