#include "common/image_ref.h"

#include <algorithm>
#include <charconv>

#include "common/bytes.h"

namespace ee {
namespace {

constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kDockerHubIndex = "index.docker.io";
constexpr std::string_view kDigestPrefix = "sha256:";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || is_digit(c); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

std::unexpected<Error> invalid(const char* detail) { return fail(ErrorCode::image_ref_invalid, detail); }

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
bool is_path_part(std::string_view part) {
  if (part.empty() || !is_lower_alnum(part.front()) || !is_lower_alnum(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    std::size_t end = i;
    while (end < part.size() && !is_lower_alnum(part[end])) ++end;
    const std::string_view between = part.substr(i, end - i);
    const bool dashes = std::ranges::all_of(between, [](char c) { return c == '-'; });
    if (!dashes && between != "." && between != "_" && between != "__") return false;
    i = end + 1;
  }
  return true;
}

bool is_path(std::string_view path) {
  while (true) {
    const auto slash = path.find('/');
    if (!is_path_part(path.substr(0, slash))) return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view tag) {
  const auto allowed = [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; };
  return !tag.empty() && tag.size() <= 128 && tag.front() != '.' && tag.front() != '-' &&
         std::ranges::all_of(tag, allowed);
}

bool is_port(std::string_view text) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && text.size() <= 5 && text.front() != '0' &&
         port <= 65535;
}

bool is_host_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && is_alnum(label.front()) && is_alnum(label.back()) &&
         std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; });
}

/// A DNS name or IPv4 address, with or without a port.
bool is_host(std::string_view host) {
  if (const auto colon = host.find(':'); colon != host.npos) {
    if (!is_port(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  if (host.empty() || host.size() > 253) return false;
  while (true) {
    const auto dot = host.find('.');
    if (!is_host_label(host.substr(0, dot))) return false;
    if (dot == host.npos) return true;
    host.remove_prefix(dot + 1);
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

bool is_docker_hub(std::string_view host) { return host == kDockerHub || host == kDockerHubIndex; }

/// Takes the host, if there is one, off the front of `text`.
std::optional<std::string> take_host(std::string_view& text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  const std::string_view first = text.substr(0, slash);
  if (first.find_first_of(".:") == first.npos && first != "localhost") return std::nullopt;
  text.remove_prefix(slash + 1);
  return lower(first);
}

}  // namespace

bool is_image_digest(std::string_view text) {
  return text.starts_with(kDigestPrefix) && is_lower_hex(text.substr(kDigestPrefix.size()), 64);
}

std::optional<std::string> ImageRef::pinned() const {
  if (!digest) return std::nullopt;
  return pinned_to(*digest);
}

std::string_view ImageRef::api_host() const {
  return is_docker_hub(host) ? std::string_view("registry-1.docker.io") : std::string_view(host);
}

Result<ImageRef> parse_image_ref(std::string_view text) {
  if (text.empty() || text.size() > kMaxImageRefChars) return invalid("An image reference has 1 to 512 characters.");
  if (text.find("://") != text.npos) return invalid("An image reference has no scheme.");
  ImageRef out;
  if (const auto at = text.find('@'); at != text.npos) {
    out.digest = std::string(text.substr(at + 1));
    if (!is_image_digest(*out.digest)) return invalid("The digest is not sha256: and 64 lower-case hex digits.");
    text = text.substr(0, at);
  }
  const auto host = take_host(text);
  if (host && !is_host(*host)) return invalid("The registry's host is not valid.");
  out.host = host.value_or(std::string(kDockerHub));
  if (const auto colon = text.find(':'); colon != text.npos) {
    out.tag = std::string(text.substr(colon + 1));
    if (!is_tag(out.tag)) return invalid("The tag is not valid.");
    text = text.substr(0, colon);
  }
  if (!is_path(text)) return invalid("The path is not valid: lower-case letters, digits and single separators.");
  out.path = std::string(text);
  if (is_docker_hub(out.host) && out.path.find('/') == out.path.npos) out.path.insert(0, "library/");
  if (out.repository().size() > kMaxImageRefChars) return invalid("An image reference has 1 to 512 characters.");
  out.implicit_latest = out.tag.empty() && !out.digest;
  if (out.implicit_latest) out.tag = "latest";
  return out;
}

}  // namespace ee
