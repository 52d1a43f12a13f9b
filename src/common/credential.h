#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee {

/// What an opaque credential is for: API key, admin session, agent, launch order's bootstrap token, enrolment token,
/// service.
enum class CredentialKind : std::uint8_t { live, sess, agent, boot, enroll, svc };

/// `live`, `sess`, ...: the second part of the text.
std::string_view to_string(CredentialKind kind);

/// `ee_<kind>_<lookup>_<secret><crc>`, the one codec of all opaque credentials. `lookup` is not secret and names the
/// database row; the row holds an Argon2id hash of the whole text.
struct Credential {
  CredentialKind kind;
  std::string lookup;  ///< 16 of `a-z2-7`, 80 random bits
  Secret text;         ///< all of it, as it travels
};

/// What a scanner for leaked credentials looks for (PCRE, RE2, ECMAScript).
constexpr std::string_view kCredentialPattern =
    R"(\bee_(live|sess|agent|boot|enroll|svc)_[a-z2-7]{16}_[0-9A-Za-z]{49}\b)";

/// Errors: internal_error when the CSPRNG fails; never a weaker source.
Result<Credential> new_credential(CredentialKind kind, Random& random);

/// Checks form and CRC, without any store: refuses garbage and typing errors in well under a microsecond.
std::optional<Credential> parse_credential(std::string_view text);

}  // namespace ee
