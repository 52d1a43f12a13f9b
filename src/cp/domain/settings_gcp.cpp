// Access to Google Cloud, as far as the guardrails judge it (05 sections 1.3 and 2.4).
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {

void add_gcp(Rows& rows) {
  const auto add = [&](SettingSpec row) {
    row.provider = true;
    rows.push_back(std::move(row));
  };
  add(str(Setting::gcp_project_id, "gcp.project_id", 63, "GCP_PROJECT_ID", "Project that holds the virtual machines.")
          .checked(must_be_gcp_project)
          .guarded());
  add(choice(Setting::gcp_auth_mode, "gcp.auth_mode", {"key", "metadata"}, "EE_GCP_AUTH_MODE",
             "Where access tokens come from: a service account's key, or the metadata server.")
          .by_default([](const SettingsContext&) -> SettingValue { return std::string("key"); })
          .guarded());
  add(secret(Setting::gcp_service_account_key, "gcp.service_account_key", 16384, "GCP_SERVICE_ACCOUNT_KEY",
             "Key of the service account: JSON, or base64 of JSON. Its URLs are not used.")
          .multi_line()
          .guarded());
  add(str(Setting::gcp_image, "gcp.image", 256, "EE_GCP_IMAGE",
          "Image of the virtual machines: projects/P/global/images/NAME; a family is for trials.")
          .checked(must_be_gcp_image)
          .guarded());
  add(url(Setting::gcp_compute_url, "gcp.compute_url", "EE_GCP_COMPUTE_URL", "Base URL of the Compute Engine API.")
          .by_default([](const SettingsContext&) -> SettingValue {
            return std::string("https://compute.googleapis.com/compute/v1");
          })
          .guarded()
          .needs_restart());
  add(url(Setting::gcp_token_url, "gcp.token_url", "EE_GCP_TOKEN_URL", "Where access tokens are got.")
          .by_default(
              [](const SettingsContext&) -> SettingValue { return std::string("https://oauth2.googleapis.com/token"); })
          .guarded()
          .needs_restart());
}

}  // namespace ee::cp::rows
