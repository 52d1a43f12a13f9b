#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config.h"
#include "common/secret.h"

namespace ee::agent {

/// What `ee-cp` is started with in mode `cp-bootstrap`.
struct CpEnvironment {
  std::vector<std::pair<std::string, Secret>> variables;  ///< `cp_env`, and the defaults for what it leaves out
  std::vector<std::string>
      files;        ///< paths of `*_FILE` variables: they must stay in memory, and be seen by the program
  std::string url;  ///< where it can be asked how it is: `http://127.0.0.1:8080`
};

/// Makes it of a checked configuration. The error is a sentence for exit code 2: an address to listen on that this
/// mode cannot use, or TLS, which ends at the tunnel here.
std::expected<CpEnvironment, std::string> cp_environment(const AgentConfig& config);

/// A line of the program without the values that it was given, other than its public URL. Values shorter than 8 bytes
/// say nothing and stay.
std::string without_values(std::string_view line, const CpEnvironment& environment);

}  // namespace ee::agent
