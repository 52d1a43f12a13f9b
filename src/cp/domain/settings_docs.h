#pragma once
#include <string>

namespace ee::cp {

/// docs/settings.md: every setting with type, default, bounds and environment variable, from the registry. A test
/// compares the file with it; `EE_UPDATE_DOCS=1` makes that test write the file.
std::string settings_markdown();

}  // namespace ee::cp
