#pragma once
#include <string>

namespace ee {

/// docs/errors.md: every code with status, meaning and remedy, from error_codes.inc. A test compares the file with it;
/// `EE_UPDATE_DOCS=1` makes that test write the file.
std::string errors_markdown();

}  // namespace ee
