#pragma once
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee {

/// Argon2id v1.3 (RFC 9106) as PHC text, `$argon2id$v=19$m=8,t=1,p=1$<salt>$<hash>`: salt 16 bytes, hash 32.
///
/// Class `token`: m = 8 KiB, t = 1, p = 1, about 23 microseconds. Only for credentials with a 256-bit random secret,
/// which cannot be tried at any price per try. Errors: internal_error when the CSPRNG fails.
Result<std::string> hash_token(const Secret& credential, Random& random);

/// Class `password`: m = 64 MiB, t = 3, p = 1, about 0.1 s. Errors: internal_error when memory is short.
Result<std::string> hash_password(const Secret& password);

/// Whether `phc` is Argon2id v=19 text within the limits of `verify_hash`. For settings that hold a hash.
bool is_usable_hash(std::string_view phc);

/// `unusable`: not Argon2id v=19, malformed, m > 256 MiB, t > 10, p > 4, or no memory: neither a match nor a mismatch
/// is known, so the caller answers auth_unavailable.
enum class HashMatch { match, mismatch, unusable };

/// Takes the parameters from `phc`. Constant time in the secret. Blocks for as long as the parameters say.
HashMatch verify_hash(std::string_view phc, const Secret& secret);

}  // namespace ee
