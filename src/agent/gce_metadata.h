#pragma once
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "agent/config.h"
#include "agent/host.h"
#include "common/clock.h"
#include "common/http_client.h"

namespace ee::agent {

/// Where instances of Google Compute Engine find their metadata. It has no TLS: what it says is the host's word.
inline constexpr std::string_view kGceMetadataUrl = "http://169.254.169.254";

/// Whether the firmware says that this VM is one of Google Compute Engine.
bool is_gce(const Host& host);

/// Adds source 5 to `inputs`: on Google Compute Engine the attribute `ee-config` of the instance, if it has one, and
/// the instance's zone and name, from which missing keys are filled in. Elsewhere nothing is asked. 2 s and three tries
/// for each of the three. Fatal: no answer, a status other than 200 and 404, an answer without `Metadata-Flavor:
/// Google` (somebody else sits at that address), more than 64 KiB. A redirect is not followed. Agent contract,
/// section 12.2.
std::expected<void, ConfigFailure> add_gce_metadata(ConfigInputs& inputs, const Host& host, HttpClient& http,
                                                    Clock& clock, std::string_view base_url = kGceMetadataUrl);

/// `us-central1-a` of `projects/123456789/zones/us-central1-a`; nothing when it has another form.
std::optional<std::string> gce_zone_of(std::string_view text);

}  // namespace ee::agent
