#pragma once
#include <string>
#include <string_view>

#include "agent/host.h"
#include "attestation/tsm/quote_source.h"
#include "common/error.h"
#include "common/random.h"

namespace ee::agent {

/// The measurements of this VM as the JSON of 02 section 18.1 (at most 256 KiB), from one quote of its own and the
/// firmware's event log. Errors: those of QuoteSource::generate and parse_quote.
Result<std::string> measure(attestation::QuoteSource& quotes, const Host& host, Random& random);

/// The lines that `measure` mode prints.
std::string measurements_line(std::string_view json);
std::string measure_error_line(ErrorCode code);

/// A quote for a person or a tool: `{"nonce","report_data","quote","emulated"}`. `nonce_hex` is 2 to 128 hexadecimal
/// digits; the report data is SHA-512 of `"ee-quote-v1" 00 nonce`, so that it can serve for nothing else.
/// Errors: invalid_request, those of QuoteSource::generate.
Result<std::string> quote_for_nonce(attestation::QuoteSource& quotes, std::string_view nonce_hex);

}  // namespace ee::agent
