#include "cp/program_version.h"

namespace ee::cp {

constinit const std::string_view kProgramVersion = EE_VERSION;
constinit const std::string_view kGitSha = EE_GIT_SHA;

}  // namespace ee::cp
