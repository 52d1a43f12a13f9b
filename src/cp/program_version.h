#pragma once
#include <string_view>

namespace ee::cp {

/// Set by the build (CMakeLists.txt).
#ifndef EE_VERSION
#define EE_VERSION "0.0.0"
#endif
#ifndef EE_GIT_SHA
#define EE_GIT_SHA "unknown"
#endif
inline constexpr std::string_view kProgramVersion = EE_VERSION;
inline constexpr std::string_view kGitSha = EE_GIT_SHA;

}  // namespace ee::cp
