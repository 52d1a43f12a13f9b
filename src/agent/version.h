#pragma once
#include <string_view>

namespace ee::agent {

/// What registrations, heartbeats and `ee-agent version` tell: a semantic version.
inline constexpr std::string_view kAgentVersion = "0.1.0";

}  // namespace ee::agent
