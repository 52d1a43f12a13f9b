#pragma once
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/host.h"
#include "attestation/tsm/quote_source.h"
#include "common/error.h"
#include "common/random.h"

namespace ee::agent {

/// Devices that may be the configuration disk, best first: the virtio disk with serial `ee-config`, then the two
/// optical drives. Paths under the host's root.
std::vector<std::string> config_disk_devices(const Host& host);

/// Adds source 4 to `inputs`: the payload of the first device with a volume EECONFIG, else what an earlier start of the
/// same boot has kept in `run_dir/config.json` (the launcher may have wiped the disk). A device with such a volume that
/// is malformed is fatal, and so is a payload that cannot be read.
std::expected<void, ConfigFailure> add_config_disk(ConfigInputs& inputs, const Host& host);

/// MRCONFIGID of this TD's own report is zero, or the SHA-384 of `payload`. Errors: config_digest_mismatch (also
/// without a payload); those of the quote source.
Result<void> check_config_digest(attestation::QuoteSource& quotes, const std::optional<std::string>& payload,
                                 Random& random);

/// Keeps the payload for later starts of this boot. Error: internal_error.
Result<void> keep_config_payload(const std::string& run_dir, const std::string& payload);

}  // namespace ee::agent
