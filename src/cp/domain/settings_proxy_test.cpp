#include <gtest/gtest.h>

#include <string>

#include "cp/domain/setting_text.h"

namespace ee::cp {
namespace {

bool takes(const std::string& suffix, const std::string& console) {
  return parse_env_setting(setting_spec(Setting::proxy_host_suffix), suffix,
                           {.stage = Stage::production, .public_url = console})
      .has_value();
}

TEST(ProxySettings, HostsOfServicesAreNoneOfTheConsoles) {
  EXPECT_TRUE(takes("", "https://console.example.com"));
  EXPECT_TRUE(takes("apps.example.com", "https://console.example.com"));
  EXPECT_TRUE(takes("apps.console.example.com", "https://console.example.com")) << "below it, apart from it";
  EXPECT_TRUE(takes("sole.example.com", "https://console.example.com")) << "no label of it";
  EXPECT_FALSE(takes("console.example.com", "https://console.example.com:8443"));
  EXPECT_FALSE(takes("example.com", "https://console.example.com")) << "a workload could set cookies for the console";
  EXPECT_FALSE(takes("Example.COM", "https://console.example.com"));
}

}  // namespace
}  // namespace ee::cp
