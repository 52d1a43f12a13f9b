#pragma once
#include <string>

#include "attestation/tsm/quote_source.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"

namespace ee::agent {

/// A quote of this VM over a random nonce and over what it is about to start, as JSON: `{"nonce","program",
/// "report_data","mrtd","rtmr0".."rtmr3","quote","emulated","generated_at"}`. Report data is SHA-512 of
/// `"ee-cp-boot-v1" 00 nonce (32) SHA-256(program)`, where `program` is the text of that member. Errors: those of
/// QuoteSource::generate and parse_quote; tdx_unavailable when MRTD or RTMR1 is all zero: nothing was measured.
Result<std::string> boot_evidence(attestation::QuoteSource& quotes, const std::string& program, const Clock& clock,
                                  Random& random);

}  // namespace ee::agent
