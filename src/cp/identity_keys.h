#pragma once
#include <expected>
#include <filesystem>
#include <string>

#include "common/challenge.h"
#include "common/random.h"
#include "cp/domain/config.h"
#include "cp/service/signing_keys.h"

namespace ee::cp {

/// The control plane's keys, from the environment; in dev what is missing is made: the signing key once, in
/// `cp-signing-key.pem` (0600) in `directory`, the challenge key at each start.
struct IdentityKeys {
  SigningKeys signing;
  ChallengeKeys challenge;
  ByteArray<32> cursor{};  ///< for list cursors
};

/// `challenge_ttl`: how long MACs by old keys are still accepted after this start. The error is a line for the
/// operator, without the value of any key.
std::expected<IdentityKeys, std::string> load_identity_keys(const Config& config,
                                                            const std::filesystem::path& directory,
                                                            Seconds challenge_ttl, UtcTime now, Random& random);

}  // namespace ee::cp
