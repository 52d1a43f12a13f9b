#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/error.h"
#include "cp/integration/cosign/cosign.h"

namespace ee::cp {

/// What a missing or wrong signature means (01 section 18.3). The greater value is the stricter one.
enum class SignatureMode : std::uint8_t { disabled, warn, strict };
BOOST_DESCRIBE_ENUM(SignatureMode, disabled, warn, strict)

/// The settings that everybody's images are judged by, as they are written.
struct SignatureSettings {
  std::string mode = "strict";
  std::string cosign_mode = "keyless";
  std::string issuer = {};
  std::string identity = {};  ///< counts instead of `identity_regexp`
  std::string identity_regexp = {};
  std::string public_key = {};
  bool require_tlog = true;
};

/// What an app says about its signers.
struct AppSigning {
  std::optional<std::string> mode = {};
  std::optional<std::string> identity_regexp = {};
  std::optional<std::string> issuer = {};
  std::optional<std::string> source_repo = {};  ///< `owner/repo`
};

/// What the images of one measurement are judged by.
struct SignaturePolicy {
  SignatureMode mode = SignatureMode::strict;
  cosign::Rule rule = {};
};

/// The stricter of both modes; the app's issuer, else the common one; the common identity and the app's (or that of the
/// workflows of its repository) together, so that an app can only narrow (03 section 7.4). Errors: `policy_invalid`: a
/// mode or an expression is not one; nothing falls back to something weaker.
Result<SignaturePolicy> merge_signature_policy(const SignatureSettings& common, const AppSigning& app);

constexpr std::size_t kMaxIdentityRegexp = 512;
/// What is wrong with an expression for identities: it must begin with `^`, end with `$`, and be understood by both
/// ECMAScript and Go (no look-around, no back references). Nothing when it is good.
std::optional<std::string> identity_regexp_problem(const std::string& text);

}  // namespace ee::cp
