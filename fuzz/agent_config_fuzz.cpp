// Configuration that a host hands to an agent, on a disk or as metadata: whatever the bytes, nothing but an answer, and
// never one that weakens what the image says.
#include <cstdint>
#include <string_view>

#include "agent/config.h"
#include "agent/gce_metadata.h"
#include "common/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ee::agent;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Source source : {Source::config_disk, Source::metadata}) {
    ConfigInputs inputs;
    inputs.documents = {{.source = source, .name = "host", .text = std::string(text)}};
    inputs.gce_zone = gce_zone_of(text.substr(0, text.find('\n')));
    const auto loaded = load_config(inputs);
    if (!loaded) {
      ee::require(!loaded.error().problems.empty());
      continue;
    }
    const AgentConfig& config = loaded->config;
    ee::require(config.env != Environment::dev && !config.allow_emulated_tdx && !config.dev_insecure_registry);
    ee::require(config.cp_attestation_mode == CpAttestationMode::required && config.trusted_cp_mrtds.empty());
    ee::require(config.cloudflared_path == "cloudflared" && config.cp.command == AgentConfig{}.cp.command);
    ee::require(!config.cp.image && !describe(*loaded).empty());
  }
  return 0;
}
