#pragma once
#include <boost/json/fwd.hpp>

#include "attestation/verify/ita_token.h"

namespace ee::attestation {

/// The part of a verified token's claims that speaks of the TD: at the top in version 1, in `tdx` in version 2.
/// Times are left out. Error: ita_claims_invalid, also when both places are filled or the token was not made for
/// general use.
Result<ItaClaims> read_ita_claims(const boost::json::object& claims);

}  // namespace ee::attestation
