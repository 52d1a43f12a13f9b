#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ee::cp::registry {

/// One challenge of a `WWW-Authenticate` field (RFC 9110 section 11.6.1). Scheme and parameter names are lower-case.
struct AuthChallenge {
  std::string scheme;
  std::map<std::string, std::string> parameters = {};

  /// The parameter, or nothing.
  std::optional<std::string> parameter(const std::string& name) const;
};

constexpr std::size_t kMaxChallengeBytes = 4096;

/// The challenges of one field value, in order. Nothing when it breaks the grammar, names a parameter twice, is longer
/// than kMaxChallengeBytes, or uses the form without parameter names (`Negotiate abc==`), which no registry does.
std::optional<std::vector<AuthChallenge>> parse_challenges(std::string_view value);

}  // namespace ee::cp::registry
