#include "agent/gce_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/proc_text.h"
#include "common/config_payload.h"
#include "common/id.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kProduct = "Google Compute Engine";
constexpr std::string_view kInstance = "/computeMetadata/v1/instance/";
constexpr Milliseconds kTimeout = 2s;
constexpr Milliseconds kBetweenTries = 1s;
constexpr int kTries = 3;

using Found = std::expected<std::optional<std::string>, ConfigFailure>;

std::unexpected<ConfigFailure> refused(std::string_view url, std::string_view why) {
  return std::unexpected(ConfigFailure{.problems = {fmt::format("{}: {}", url, why)}});
}

/// One value; nothing when the instance has none of that name. What may pass by itself is asked for again.
Found ask(HttpClient& http, Clock& clock, const std::string& url) {
  std::string why;
  for (int tried = 0; tried < kTries; ++tried) {
    if (tried > 0) clock.sleep_for(kBetweenTries, {});
    const auto answer = http.send({.url = url,
                                   .headers = {{"Metadata-Flavor", "Google"}},
                                   .connect_timeout = kTimeout,
                                   .total_timeout = kTimeout,
                                   .max_response_bytes = kMaxConfigPayload});
    if (!answer) {
      if (answer.error() == HttpFailure::answer_too_large) return refused(url, "is larger than 64 KiB");
      why = fmt::format("no answer: {}", to_string(answer.error()));
      continue;
    }
    if (answer->status >= 500 || answer->status == 429) {
      why = fmt::format("answered {}", answer->status);
      continue;
    }
    if (answer->header("Metadata-Flavor") != "Google") return refused(url, "is not answered by the metadata server");
    if (answer->status == 404) return std::nullopt;
    if (answer->status != 200) return refused(url, fmt::format("answered {}", answer->status));
    return answer->body;
  }
  return refused(url, why);
}

bool is_zone_name(std::string_view text) {
  return !text.empty() && text.size() <= 96 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

bool is_gce(const Host& host) {
  const auto product = host.read("sys/class/dmi/id/product_name", 256);
  return product && trimmed(*product) == kProduct;
}

std::optional<std::string> gce_zone_of(std::string_view text) {
  constexpr std::string_view kProjects = "projects/";
  constexpr std::string_view kZones = "/zones/";
  if (!text.starts_with(kProjects)) return std::nullopt;
  text.remove_prefix(kProjects.size());
  const std::size_t project = std::min(text.find_first_not_of("0123456789"), text.size());
  if (project == 0 || !text.substr(project).starts_with(kZones)) return std::nullopt;
  text.remove_prefix(project + kZones.size());
  return is_zone_name(text) ? std::optional(std::string(text)) : std::nullopt;
}

std::expected<void, ConfigFailure> add_gce_metadata(ConfigInputs& inputs, const Host& host, HttpClient& http,
                                                    Clock& clock, std::string_view base_url) {
  if (!is_gce(host)) return {};
  const std::string instance = fmt::format("{}{}", base_url, kInstance);
  const std::string config_url = instance + "attributes/ee-config";
  auto config = ask(http, clock, config_url);
  if (!config) return std::unexpected(std::move(config.error()));
  if (*config)
    inputs.documents.push_back({.source = Source::metadata, .name = config_url, .text = std::move(**config)});
  const auto zone = ask(http, clock, instance + "zone");
  if (!zone) return std::unexpected(zone.error());
  if (*zone) {
    inputs.gce_zone = gce_zone_of(**zone);
    if (!inputs.gce_zone) return refused(instance + "zone", "is no zone");
  }
  const auto name = ask(http, clock, instance + "name");
  if (!name) return std::unexpected(name.error());
  if (*name) {
    if (!is_dns_label(**name)) return refused(instance + "name", "is no name of an instance");
    inputs.gce_name = **name;
  }
  return {};
}

}  // namespace ee::agent
