#pragma once
#include <string_view>

#include "agent/board.h"
#include "common/error.h"
#include "common/jose.h"

namespace ee::agent {

/// A token of the control plane behind `scheme` (`Bearer `, or empty where the field is the token alone): a JWS, EdDSA
/// by a key of the session, of exactly that `typ`. What it claims is the caller's to judge. Errors: invalid_token.
Result<jose::VerifiedToken> verified_token(std::string_view authorization, std::string_view scheme,
                                           std::string_view type, const Session& session);

}  // namespace ee::agent
