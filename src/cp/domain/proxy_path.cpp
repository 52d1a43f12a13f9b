#include "cp/domain/proxy_path.h"

#include <algorithm>
#include <vector>

namespace ee::cp {
namespace {

constexpr std::string_view kPrefix = "/proxy/";
constexpr std::string_view kReserved = ".easyenclave";
constexpr std::size_t kMaxLabel = 63;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Once; broken escapes stay as they are, and with `keep_separators` those of slashes and backslashes too.
std::string decode(std::string_view text, bool keep_separators = false) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size();
    const int high = escape ? hex_value(text[i + 1]) : -1;
    const int low = escape ? hex_value(text[i + 2]) : -1;
    const char decoded = static_cast<char>(high * 16 + low);
    if (high < 0 || low < 0 || (keep_separators && (decoded == '/' || decoded == '\\'))) {
      out += text[i];
      continue;
    }
    out += decoded;
    i += 2;
  }
  return out;
}

/// How a server may split a path.
struct Splitting {
  bool at_backslash = false;
  bool drops_parameters = false;  ///< `..;x` is `..`
};

/// The first segment that is left when dots are removed.
std::string first_segment(std::string_view path, Splitting how) {
  std::vector<std::string> kept;
  std::string segment;
  const auto take = [&] {
    if (how.drops_parameters) segment = segment.substr(0, segment.find(';'));
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
    segment.clear();
  };
  for (const char c : path) {
    if (c == '/' || (how.at_backslash && c == '\\'))
      take();
    else
      segment += lower(c);
  }
  take();
  return kept.empty() ? std::string() : kept.front();
}

/// What some servers take off the end of a segment, or cut it at.
std::string_view bare(std::string_view segment) {
  segment = segment.substr(0, segment.find_first_of(std::string_view(";\0", 2)));
  while (!segment.empty() && (segment.back() == ' ' || segment.back() == '\t')) segment.remove_suffix(1);
  return segment;
}

/// Each reading alone: what one server takes for a separator, and so loses with the next `..`, is a letter to another.
bool leads_to_agent(std::string_view path) {
  for (const bool at_backslash : {false, true})
    for (const bool drops_parameters : {false, true})
      if (bare(first_segment(path, {.at_backslash = at_backslash, .drops_parameters = drops_parameters})) == kReserved)
        return true;
  return false;
}

/// Whether the name could be in the path at all.
bool names_agent(std::string_view path) {
  if (path.find_first_of(".%") == std::string_view::npos) return false;
  std::string text = decode(decode(path));
  std::ranges::transform(text, text.begin(), lower);
  return text.find(kReserved) != std::string::npos;
}

bool is_label(std::string_view text) {
  const auto valid = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= kMaxLabel && std::ranges::all_of(text, valid);
}

}  // namespace

bool is_reserved_path(std::string_view path) {
  if (!names_agent(path)) return false;
  if (leads_to_agent(path)) return true;
  // Some split before they decode: an escaped slash is no separator to them.
  for (const bool keeps_first : {false, true}) {
    const std::string once = decode(path, keeps_first);
    if (leads_to_agent(once)) return true;
    for (const bool keeps_second : {false, true})
      if (leads_to_agent(decode(once, keeps_second))) return true;
  }
  return false;
}

std::string routing_path(std::string_view path) {
  const bool plain = path.find('%') == std::string_view::npos && path.find("//") == std::string_view::npos &&
                     path.find("/.") == std::string_view::npos;
  if (plain) return std::string(path);
  const std::string decoded = decode(path);
  std::vector<std::string_view> kept;
  bool directory = false;
  std::string_view rest = decoded;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    directory = slash != std::string_view::npos || segment == "." || segment == "..";
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(segment);
    }
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  if (directory || out.empty()) out += '/';
  return out;
}

ProxyPath read_proxy_path(std::string_view path) {
  if (!path.starts_with(kPrefix)) return {};
  const std::string_view tail = path.substr(kPrefix.size());
  const std::size_t slash = tail.find('/');
  std::string service = decode(tail.substr(0, slash));
  const bool hostile =
      service == "." || service == ".." || service.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos;
  if (hostile) return {.kind = ProxyPathKind::bad_path};
  if (!is_label(service)) service.clear();  // no such service
  if (slash == std::string_view::npos) return {.kind = ProxyPathKind::missing_slash, .service = std::move(service)};
  const std::string_view rest = tail.substr(slash);
  if (is_reserved_path(rest)) return {.kind = ProxyPathKind::reserved, .service = std::move(service), .rest = rest};
  return {.kind = ProxyPathKind::service, .service = std::move(service), .rest = rest};
}

ProxyPath read_host_path(std::string_view path) {
  if (is_reserved_path(path)) return {.kind = ProxyPathKind::reserved, .rest = path};
  return {.kind = ProxyPathKind::service, .rest = path};
}

std::string service_of_host(std::string_view host, std::string_view suffix) {
  if (suffix.empty() || host.starts_with('[')) return {};
  host = host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() < suffix.size() + 2) return {};
  std::string name(host.substr(0, host.size() - suffix.size()));
  std::string tail(host.substr(host.size() - suffix.size()));
  std::ranges::transform(tail, tail.begin(), lower);
  std::ranges::transform(name, name.begin(), lower);
  std::string wanted(suffix);
  std::ranges::transform(wanted, wanted.begin(), lower);
  if (tail != wanted || !name.ends_with('.')) return {};
  name.pop_back();
  return is_label(name) ? name : std::string();
}

}  // namespace ee::cp
