#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "cp/integration/cosign/cosign.h"

namespace ee::cp::cosign {

/// The signatures in the output of `cosign verify --output json` that are for this digest. Errors:
/// `signature_output_invalid`: it is no JSON array, or none of its elements is for the digest.
Result<std::vector<Signature>> read_output(std::string_view output, std::string_view digest);

/// The last line of what cosign said, without control characters and what is no UTF-8, at most 300 bytes.
std::string last_line(std::string_view line);

}  // namespace ee::cp::cosign
