#pragma once
#include <string_view>

namespace ee::cp {

/// Set by the build (CMakeLists.txt).
extern const std::string_view kProgramVersion;
extern const std::string_view kGitSha;

}  // namespace ee::cp
