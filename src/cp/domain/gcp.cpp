#include "cp/domain/gcp.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/bytes.h"
#include "common/json.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxEmail = 254;
constexpr std::size_t kMaxKeyId = 128;

/// Letters, digits, hyphens; of projects also the `.` and `:` of a domain.
bool is_name(std::string_view text, bool project) {
  return !text.empty() && text.size() <= 63 && text.front() >= 'a' && text.front() <= 'z' &&
         std::ranges::all_of(text, [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (project && (c == '.' || c == ':'));
         });
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view{};
}

}  // namespace

std::optional<GcpImage> GcpImage::parse(std::string_view text) {
  if (!take(text, "projects/")) return std::nullopt;
  GcpImage image;
  image.project = text.substr(0, text.find('/'));
  text.remove_prefix(image.project.size());
  if (!take(text, "/global/images/")) return std::nullopt;
  image.is_family = take(text, "family/");
  image.name = text;
  if (!is_name(image.project, true) || !is_name(image.name, false)) return std::nullopt;
  return image;
}

bool GcpImage::is_stock() const {
  constexpr std::array<std::string_view, 20> kVendors = {"ubuntu-os-cloud",
                                                         "ubuntu-os-pro-cloud",
                                                         "ubuntu-os-accelerator-images",
                                                         "debian-cloud",
                                                         "cos-cloud",
                                                         "centos-cloud",
                                                         "rhel-cloud",
                                                         "rhel-sap-cloud",
                                                         "rocky-linux-cloud",
                                                         "rocky-linux-accelerator-cloud",
                                                         "suse-cloud",
                                                         "suse-sap-cloud",
                                                         "opensuse-cloud",
                                                         "oracle-linux-cloud",
                                                         "fedora-cloud",
                                                         "fedora-coreos-cloud",
                                                         "windows-cloud",
                                                         "windows-sql-cloud",
                                                         "almalinux-cloud",
                                                         "confidential-vm-images"};
  return std::ranges::find(kVendors, project) != kVendors.end();
}

std::optional<GcpServiceAccount> GcpServiceAccount::parse(const Secret& secret) {
  const std::string& text = secret.reveal();
  std::string decoded;
  if (const std::size_t first = text.find_first_not_of(" \t\r\n"); first == std::string::npos || text[first] != '{') {
    std::string packed;
    std::ranges::copy_if(text, std::back_inserter(packed), [](char c) { return c > ' '; });
    const auto bytes = from_base64(packed);
    if (!bytes) return std::nullopt;
    decoded.assign(bytes->begin(), bytes->end());
  }
  const auto parsed = json::parse(decoded.empty() ? std::string_view(text) : std::string_view(decoded));
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const boost::json::object& object = parsed->get_object();
  const std::string_view email = text_of(object, "client_email");
  const std::string_view key_id = text_of(object, "private_key_id");
  if (text_of(object, "type") != "service_account" || email.empty() || email.size() > kMaxEmail ||
      key_id.size() > kMaxKeyId)
    return std::nullopt;
  auto key = jose::PrivateKey::from_pem(text_of(object, "private_key"));
  if (!key || key->public_key().type() != jose::KeyType::rsa) return std::nullopt;
  return GcpServiceAccount{.client_email = std::string(email), .key_id = std::string(key_id), .key = std::move(*key)};
}

}  // namespace ee::cp
