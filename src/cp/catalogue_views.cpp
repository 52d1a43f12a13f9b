#include "cp/catalogue_views.h"

#include "common/env_config.h"
#include "common/log.h"

namespace ee::cp::views {

using enum Setting;

MeasureSettings measuring(const SettingValues& values) {
  MeasureSettings out{.registries = {.allowed_hosts = values.list(registry_allowed_hosts),
                                     .allowed_private_hosts = values.list(registry_allowed_private_hosts),
                                     .insecure_hosts = values.list(registry_insecure_hosts)},
                      .cosign_binary = values.text(cosign_binary)};
  // Without them private images are not found, which says what is wrong; nothing is sent that was not meant.
  if (auto credentials = registry::parse_credentials(values.secret(registry_credentials)))
    out.registries.credentials = std::move(*credentials);
  else
    log::error("settings", "registry.credentials cannot be read; registries are asked without", {});
  return out;
}

SignatureSettings signatures(const SettingValues& values) {
  return {.mode = values.text(attestation_signature_mode),
          .cosign_mode = values.text(cosign_mode),
          .issuer = values.text(cosign_oidc_issuer),
          .identity = values.text(cosign_identity),
          .identity_regexp = values.text(cosign_identity_regexp),
          .public_key = values.text(cosign_public_key),
          .require_tlog = values.flag(cosign_require_tlog)};
}

PublishSettings publishing(const SettingValues& values) {
  PublishSettings out{.allowed_registries = values.list(registry_allowed_hosts), .reserved_ports = {}};
  for (const std::string& port : values.list(deploy_reserved_ports))
    if (const auto number = parse_integer(port)) out.reserved_ports.push_back(static_cast<std::uint16_t>(*number));
  return out;
}

MeasureQueueSettings measure_queue(const SettingValues& values, const std::string& public_url) {
  return {.external = values.text(measure_mode) == "external",
          .measurer_url = values.text(measure_url),
          .concurrency = static_cast<std::size_t>(values.integer(measure_concurrency)),
          .lease = Seconds(values.integer(measure_lease_seconds)),
          .max_attempts = values.integer(measure_max_attempts),
          .signatures = signatures(values),
          .publishing = publishing(values),
          .public_url = public_url};
}

}  // namespace ee::cp::views
