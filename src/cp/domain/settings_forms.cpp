#include <algorithm>

#include "common/argon2.h"
#include "common/bytes.h"
#include "common/env_config.h"
#include "common/id.h"
#include "common/ip_network.h"
#include "common/url.h"
#include "cp/domain/gcp.h"
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

using Problem = std::optional<std::string>;

Problem unless(bool good, std::string_view wanted) {
  if (good) return std::nullopt;
  return std::string(wanted);
}

bool is_dns_name(std::string_view text) {
  if (text.empty() || text.size() > 200) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    if (!is_dns_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_visible(char c) { return c > ' ' && c < '\x7f'; }
bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

}  // namespace

Problem must_be_hex32(std::string_view text) {
  return unless(is_lower_hex(text, 32), "must be 32 lower-case hexadecimal digits");
}
Problem must_be_dns_name(std::string_view text) {
  return unless(is_dns_name(text), "must be a DNS name in lower case, without a final dot");
}
Problem must_be_dns_label(std::string_view text) { return unless(is_dns_label(text), "must be a DNS label"); }
Problem must_be_uuid(std::string_view text) { return unless(is_uuid(text), "must be a UUID in lower case"); }
Problem must_be_cidr(std::string_view text) {
  return unless(is_ip_network(text), "must be an address range such as 10.0.0.0/8");
}
Problem must_be_origin(std::string_view text) {
  const auto parsed = parse_url(text);
  return unless(parsed && parsed->origin() == text, "must be an origin such as https://console.example.com");
}
Problem must_be_tunnel_name(std::string_view text) {
  return unless(!text.empty() && text.size() <= 128 && std::ranges::all_of(text, is_visible),
                "must be a tunnel's name of at most 128 visible characters");
}
Problem must_be_argon2id(std::string_view text) {
  return unless(is_usable_hash(text), "must be an Argon2id text, as ee-cp hash-password prints");
}
Problem must_be_github_login(std::string_view text) {
  return unless(!text.empty() && text.size() <= 64 && std::ranges::all_of(text, is_name_character),
                "must be a GitHub login");
}
Problem must_be_positive_integer(std::string_view text) {
  const auto number = parse_integer(text);
  return unless(number && *number > 0, "must be a positive integer");
}
Problem must_be_advisory(std::string_view text) {
  constexpr std::string_view kPrefix = "INTEL-SA-";
  const std::string_view number = text.substr(std::min(kPrefix.size(), text.size()));
  return unless(text.starts_with(kPrefix) && number.size() == 5 &&
                    number.find_first_not_of("0123456789") == std::string_view::npos,
                "must be an advisory such as INTEL-SA-00615");
}
Problem must_be_ita_base(std::string_view text) {
  while (text.ends_with('/')) text.remove_suffix(1);
  for (const std::string_view end : {"/appraisal", "/appraisal/v1", "/appraisal/v2", "/attest"})
    if (text.ends_with(end)) return "must be the service's base URL, without the path of a call";
  return std::nullopt;
}
Problem must_be_header_value(std::string_view text) {
  return unless(std::ranges::all_of(text, is_visible), "must have visible ASCII characters only");
}

Problem must_be_gcp_project(std::string_view text) {
  const bool good =
      text.size() >= 6 && text.size() <= 30 && text.front() >= 'a' && text.front() <= 'z' && text.back() != '-' &&
      std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  return unless(good, "must be the id of a GCP project");
}

Problem must_be_gcp_image(std::string_view text) {
  return unless(GcpImage::parse(text).has_value(),
                "must be projects/P/global/images/NAME or projects/P/global/images/family/F");
}

}  // namespace ee::cp::rows
