#include "cp/http/proxy_headers.h"

#include <algorithm>
#include <array>

#include "cp/service/proxy_access.h"
#include "net/client_address.h"
#include "net/proxy/hop_fields.h"

namespace ee::cp {
namespace {

using net::append_field;
using net::equal_ignoring_case;

bool starts_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view known) { return equal_ignoring_case(name, known); });
}

/// What this hop writes itself, or keeps from the workload.
bool is_replaced(std::string_view name) {
  constexpr std::array<std::string_view, 5> kReplaced = {"host", "authorization", "cookie", "x-request-id",
                                                         "traceparent"};
  return starts_ignoring_case(name, "x-ee-") || is_one_of(name, kReplaced) || net::is_forwarding_field(name);
}

std::string_view port_of(std::string_view host, std::string_view proto) {
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) return host.substr(colon + 1);
  return proto == "https" ? "443" : "80";
}

/// X-Forwarded-*, X-Real-IP and Forwarded. What a trusted proxy in front says is kept; fields of others are gone.
void append_forwarding(std::string& out, const net::RequestHead& head, const ProxyMount& mount) {
  const auto said = [&](std::string_view name) {
    return head.peer_trusted ? head.field(name).value_or(std::string_view()) : std::string_view();
  };
  const std::string_view host = head.field("host").value_or(std::string_view());
  const std::string_view own_proto = head.tls ? "https" : "http";
  const std::string_view proto = said("x-forwarded-proto").empty() ? own_proto : said("x-forwarded-proto");
  const std::string_view outer_host = said("x-forwarded-host").empty() ? host : said("x-forwarded-host");
  std::string chain(said("x-forwarded-for"));
  if (!chain.empty()) chain += ", ";
  chain += head.peer_address;
  append_field(out, "X-Forwarded-For", chain);
  append_field(out, "X-Forwarded-Proto", proto);
  append_field(out, "X-Forwarded-Host", outer_host);
  append_field(out, "X-Forwarded-Port",
               said("x-forwarded-port").empty() ? port_of(outer_host, proto) : said("x-forwarded-port"));
  if (mount.path_mode) append_field(out, "X-Forwarded-Prefix", mount.prefix());
  append_field(out, "X-Real-IP", head.client_address);
  const bool v6 = head.client_address.find(':') != std::string_view::npos;
  append_field(out, "Forwarded",
               std::string("for=\"") + (v6 ? "[" : "") + std::string(head.client_address) + (v6 ? "]" : "") +
                   "\";proto=" + std::string(proto));
}

bool is_document(std::string_view content_type) {
  constexpr std::array<std::string_view, 6> kDocuments = {"text/html", "image/svg+xml",   "application/xhtml+xml",
                                                          "text/xml",  "application/xml", "application/pdf"};
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  // Whatever is no type at all is guessed at by browsers.
  return type.find('/') == std::string_view::npos || is_one_of(type, kDocuments) || type.ends_with("+xml") ||
         starts_ignoring_case(type, "multipart/");
}

/// What a workload in path mode must not set: it would count for the console's origin.
bool is_dropped_in_path_mode(std::string_view name) {
  constexpr std::array<std::string_view, 5> kDropped = {"service-worker-allowed", "clear-site-data",
                                                        "strict-transport-security", "alt-svc", "public-key-pins"};
  return is_one_of(name, kDropped);
}

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

bool is_platform_cookie(std::string_view name) {
  return starts_ignoring_case(name, "ee_") || starts_ignoring_case(name, "__Host-ee_") ||
         starts_ignoring_case(name, "__Secure-ee_");
}

}  // namespace

std::string without_platform_cookies(std::string_view cookie) {
  std::string kept;
  while (!cookie.empty()) {
    const std::size_t semicolon = cookie.find(';');
    const std::string_view pair = trim(cookie.substr(0, semicolon));
    cookie = semicolon == std::string_view::npos ? std::string_view() : cookie.substr(semicolon + 1);
    if (pair.empty() || is_platform_cookie(trim(pair.substr(0, pair.find('='))))) continue;
    if (!kept.empty()) kept += "; ";
    kept += pair;
  }
  return kept;
}

ProxyRequestHead make_request_head(const net::RequestHead& head, const ProxyMount& mount, std::string_view target) {
  ProxyRequestHead made{.method = std::string(head.method), .target = std::string(target)};
  if (!head.query.empty()) made.target.append("?").append(head.query);
  const net::HopFields hop(head.fields);
  std::string cookies;
  for (const net::HeadField& field : head.fields) {
    if (equal_ignoring_case(field.name, "te"))
      net::for_each_option(field.value, [&](std::string_view option) {
        made.wants_trailers = made.wants_trailers || equal_ignoring_case(option, "trailers");
      });
    if (equal_ignoring_case(field.name, "authorization") && !is_platform_authorization(field.value))
      made.authorization = field.value;
    if (equal_ignoring_case(field.name, "cookie")) {
      const std::string kept = without_platform_cookies(field.value);
      if (!kept.empty()) cookies += (cookies.empty() ? "" : "; ") + kept;
    }
    if (!hop.drops(field.name) && !is_replaced(field.name)) append_field(made.fields, field.name, field.value);
  }
  if (!cookies.empty()) append_field(made.fields, "Cookie", cookies);
  append_forwarding(made.fields, head, mount);
  append_field(made.fields, "X-Request-Id", head.request_id);
  if (!head.traceparent.empty()) append_field(made.fields, "traceparent", head.traceparent);
  append_field(made.fields, "X-EE-Service", mount.service);
  return made;
}

void write_request_head(std::string& out, const ProxyRequestHead& head, const ProxyMount& mount,
                        const BackendHeaders& backend, bool drop_authorization) {
  (void)mount;
  out.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  append_field(out, "Host", backend.host);
  out += head.fields;
  if (!drop_authorization && !head.authorization.empty()) append_field(out, "Authorization", head.authorization);
  if (head.wants_trailers) out += "TE: trailers\r\nConnection: TE\r\n";
  append_field(out, "X-EE-Deployment", backend.deployment_id);
  append_field(out, "X-EE-Ingress-Port", std::to_string(backend.ingress_port));
  append_field(out, "X-EE-Proxy-Assertion", backend.assertion);
}

std::string rewrite_set_cookie(std::string_view value, std::string_view prefix) {
  const std::size_t first_end = value.find(';');
  const std::string_view pair = trim(value.substr(0, first_end));
  const std::string_view name = trim(pair.substr(0, pair.find('=')));
  // Without `=` browsers take the text as the value of a nameless cookie, which is sent back as if it were a name.
  if (is_platform_cookie(name) || starts_ignoring_case(name, "__Host-")) return {};
  std::string out(pair);
  if (name.empty() && is_platform_cookie(trim(pair.substr(std::min(pair.size(), pair.find('=') + 1))))) return {};
  std::string_view rest = first_end == std::string_view::npos ? std::string_view() : value.substr(first_end + 1);
  while (!rest.empty()) {
    const std::size_t semicolon = rest.find(';');
    const std::string_view attribute = trim(rest.substr(0, semicolon));
    rest = semicolon == std::string_view::npos ? std::string_view() : rest.substr(semicolon + 1);
    const std::size_t equals = attribute.find('=');
    const std::string_view key = trim(attribute.substr(0, equals));
    if (attribute.empty() || equal_ignoring_case(key, "domain")) continue;
    out += "; ";
    if (!equal_ignoring_case(key, "path")) {
      out += attribute;
      continue;
    }
    const std::string_view path =
        equals == std::string_view::npos ? std::string_view() : trim(attribute.substr(equals + 1));
    out.append("Path=").append(prefix).append(path.starts_with('/') ? path : std::string_view("/"));
  }
  return out;
}

std::string rewrite_location(std::string_view value, std::string_view backend_host, std::string_view prefix) {
  std::string_view rest = value;
  for (const std::string_view scheme : {"http:", "https:"})
    if (starts_ignoring_case(rest, scheme)) {
      rest.remove_prefix(scheme.size());
      break;
    }
  if (rest.starts_with("//")) {
    const std::string_view authority = rest.substr(2, rest.find_first_of("/?#", 2) - 2);
    if (!equal_ignoring_case(authority, backend_host)) return std::string(value);
    rest.remove_prefix(2 + authority.size());
    return std::string(prefix) + (rest.starts_with('/') ? "" : "/") + std::string(rest);
  }
  if (rest.size() == value.size() && rest.starts_with('/')) return std::string(prefix) + std::string(rest);
  return std::string(value);
}

void write_response_fields(std::string& out, const net::ResponseHead& head, const ProxyMount& mount,
                           std::string_view backend_host, std::string_view deployment_id) {
  const net::HopFields hop(head.fields);
  const std::string prefix = mount.prefix();
  std::string_view content_type;
  for (const net::HeadField& field : head.fields) {
    if (hop.drops(field.name) || starts_ignoring_case(field.name, "x-ee-")) continue;
    if (equal_ignoring_case(field.name, "x-request-id")) continue;
    if (equal_ignoring_case(field.name, "content-type")) content_type = field.value;
    if (equal_ignoring_case(field.name, "location")) {
      append_field(out, field.name, rewrite_location(field.value, backend_host, prefix));
    } else if (mount.path_mode && equal_ignoring_case(field.name, "set-cookie")) {
      const std::string cookie = rewrite_set_cookie(field.value, prefix);
      if (!cookie.empty()) append_field(out, field.name, cookie);
    } else if (!mount.path_mode || !is_dropped_in_path_mode(field.name)) {
      append_field(out, field.name, field.value);
    }
  }
  append_field(out, "X-EE-Deployment", deployment_id);
  out += "Via: 1.1 easyenclave\r\n";
  if (mount.path_mode && head.status >= 200 && is_document(content_type))
    out +=
        "Content-Security-Policy: sandbox allow-scripts allow-forms allow-popups allow-downloads\r\n"
        "X-Content-Type-Options: nosniff\r\n";
}

}  // namespace ee::cp
