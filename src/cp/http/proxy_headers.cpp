#include "cp/http/proxy_headers.h"

#include <algorithm>
#include <array>

#include "cp/http/proxy_cors.h"
#include "cp/service/proxy_access.h"
#include "net/chars.h"
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
  return net::begins_like(name, "x-ee-") || net::is_forwarding_field(name) ||
         std::ranges::any_of(kReplaced, [&](std::string_view known) {
           return name.size() == known.size() && net::begins_like(name, known);
         });
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
  std::string_view proto = said("x-forwarded-proto");
  if (proto != "http" && proto != "https") proto = head.tls ? "https" : "http";
  const std::string_view outer_host = said("x-forwarded-host").empty() ? host : said("x-forwarded-host");
  std::string chain;
  for (const net::HeadField& field : head.fields)
    if (head.peer_trusted && equal_ignoring_case(field.name, "x-forwarded-for")) chain.append(field.value).append(", ");
  chain += head.peer_address;
  append_field(out, "X-Forwarded-For", chain);
  append_field(out, "X-Forwarded-Proto", proto);
  append_field(out, "X-Forwarded-Host", outer_host);
  append_field(out, "X-Forwarded-Port",
               said("x-forwarded-port").empty() ? port_of(outer_host, proto) : said("x-forwarded-port"));
  if (mount.path_mode) append_field(out, "X-Forwarded-Prefix", mount.prefix());
  append_field(out, "X-Real-IP", head.client_address);
  const bool v6 = head.client_address.find(':') != std::string_view::npos;
  out.append("Forwarded: for=\"").append(v6 ? "[" : "").append(head.client_address).append(v6 ? "]" : "");
  out.append("\";proto=").append(proto).append("\r\n");
}

/// Whether a browser might show an answer as a page: also when Content-Type can be read in more than one way (Fetch
/// takes the last good one of a list, over all fields) or leaves the type to guessing (MIME Sniffing section 7).
bool may_be_page(std::span<const net::HeadField> fields) {
  constexpr std::array<std::string_view, 9> kPages = {"text/html",       "image/svg+xml",   "application/xhtml+xml",
                                                      "text/xml",        "application/xml", "text/xsl",
                                                      "application/pdf", "unknown/unknown", "application/unknown"};
  std::string_view value;
  int count = 0;
  for (const net::HeadField& field : fields)
    if (equal_ignoring_case(field.name, "content-type") && ++count == 1) value = field.value;
  if (count != 1 || value.find(',') != std::string_view::npos) return true;
  const std::string_view type = net::trim_blanks(value.substr(0, value.find(';')));
  const std::size_t slash = type.find('/');
  if (slash == std::string_view::npos || !net::is_token(type.substr(0, slash)) ||
      !net::is_token(type.substr(slash + 1)))
    return true;
  if (type.find('*') != std::string_view::npos || starts_ignoring_case(type, "multipart/")) return true;
  constexpr std::string_view kXml = "+xml";
  return is_one_of(type, kPages) ||
         (type.size() > kXml.size() && equal_ignoring_case(type.substr(type.size() - kXml.size()), kXml));
}

/// What a workload in path mode must not set: it would count for the console's origin.
bool is_dropped_in_path_mode(std::string_view name) {
  constexpr std::array<std::string_view, 11> kDropped = {"service-worker-allowed",
                                                         "clear-site-data",
                                                         "strict-transport-security",
                                                         "alt-svc",
                                                         "nel",
                                                         "report-to",
                                                         "expect-ct",
                                                         "public-key-pins",
                                                         "public-key-pins-report-only",
                                                         "accept-ch",
                                                         "set-login"};
  return is_one_of(name, kDropped);
}

using net::trim_blanks;

bool is_platform_cookie(std::string_view name) {
  return starts_ignoring_case(name, "ee_") || starts_ignoring_case(name, "__Host-ee_") ||
         starts_ignoring_case(name, "__Secure-ee_");
}

/// Fields by which a workload tells caches in front of us apart from browsers.
bool is_for_shared_caches(std::string_view name) {
  constexpr std::array<std::string_view, 3> kNames = {"cdn-cache-control", "cloudflare-cdn-cache-control",
                                                      "surrogate-control"};
  return is_one_of(name, kNames);
}

/// `Cache-Control` of an answer that took a credential: a cache in front of us does not know that, since the credential
/// may be a field of ours or a cookie (RFC 9111 section 3.5 protects `Authorization` alone).
void append_private(std::string& out, std::span<const net::HeadField> fields) {
  std::string value = "private";
  for (const net::HeadField& field : fields) {
    if (!equal_ignoring_case(field.name, "cache-control")) continue;
    net::for_each_option(field.value, [&](std::string_view directive) {
      constexpr std::array<std::string_view, 3> kReplaced = {"public", "private", "s-maxage"};
      if (!is_one_of(trim_blanks(directive.substr(0, directive.find('='))), kReplaced))
        value.append(", ").append(directive);
    });
  }
  append_field(out, "Cache-Control", value);
}

bool is_cors_field(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"access-control-allow-origin", "access-control-allow-credentials",
                                                      "access-control-allow-methods", "access-control-allow-headers",
                                                      "access-control-max-age"};
  return is_one_of(name, kNames);
}

}  // namespace

std::string without_platform_cookies(std::string_view cookie) {
  std::string kept;
  while (!cookie.empty()) {
    const std::size_t semicolon = cookie.find(';');
    const std::string_view pair = trim_blanks(cookie.substr(0, semicolon));
    cookie = semicolon == std::string_view::npos ? std::string_view() : cookie.substr(semicolon + 1);
    if (pair.empty() || is_platform_cookie(trim_blanks(pair.substr(0, pair.find('='))))) continue;
    if (!kept.empty()) kept += "; ";
    kept += pair;
  }
  return kept;
}

ProxyRequestHead make_request_head(const net::RequestHead& head, const ProxyMount& mount, std::string_view target) {
  ProxyRequestHead made{.method = std::string(head.method), .target = std::string(target)};
  if (!head.query.empty()) made.target.append("?").append(head.query);
  made.fields.reserve(1024);
  const net::HopFields hop(head.fields);
  std::string cookies;
  for (const net::HeadField& field : head.fields) {
    if (equal_ignoring_case(field.name, "te"))
      net::for_each_option(field.value, [&](std::string_view option) {
        made.wants_trailers = made.wants_trailers || equal_ignoring_case(option, "trailers");
      });
    if (hop.drops(field.name)) continue;
    if (equal_ignoring_case(field.name, "authorization")) {
      if (!is_platform_authorization(field.value)) made.authorization = field.value;
    } else if (equal_ignoring_case(field.name, "cookie")) {
      const std::string kept = without_platform_cookies(field.value);
      if (!kept.empty()) cookies.append(cookies.empty() ? "" : "; ").append(kept);
    } else if (!is_replaced(field.name)) {
      append_field(made.fields, field.name, field.value);
    }
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
  constexpr std::size_t kRest = 384;  // what is added here, and framing
  out.reserve(out.size() + head.target.size() + head.fields.size() + head.authorization.size() +
              backend.assertion.size() + kRest);
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
  const std::string_view pair = trim_blanks(value.substr(0, first_end));
  const std::string_view name = trim_blanks(pair.substr(0, pair.find('=')));
  // Without `=` browsers take the text as the value of a nameless cookie, which is sent back as if it were a name.
  if (is_platform_cookie(name) || starts_ignoring_case(name, "__Host-")) return {};
  std::string out(pair);
  if (name.empty() && is_platform_cookie(trim_blanks(pair.substr(std::min(pair.size(), pair.find('=') + 1)))))
    return {};
  std::string_view rest = first_end == std::string_view::npos ? std::string_view() : value.substr(first_end + 1);
  while (!rest.empty()) {
    const std::size_t semicolon = rest.find(';');
    const std::string_view attribute = trim_blanks(rest.substr(0, semicolon));
    rest = semicolon == std::string_view::npos ? std::string_view() : rest.substr(semicolon + 1);
    const std::size_t equals = attribute.find('=');
    const std::string_view key = trim_blanks(attribute.substr(0, equals));
    if (attribute.empty() || equal_ignoring_case(key, "domain")) continue;
    out += "; ";
    if (!equal_ignoring_case(key, "path")) {
      out += attribute;
      continue;
    }
    const std::string_view path =
        equals == std::string_view::npos ? std::string_view() : trim_blanks(attribute.substr(equals + 1));
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
                           const BackendHeaders& backend, const AnswerRules& rules) {
  const net::HopFields hop(head.fields);
  const std::string prefix = mount.prefix();
  for (const net::HeadField& field : head.fields) {
    if (hop.drops(field.name) || net::begins_like(field.name, "x-ee-")) continue;
    if (equal_ignoring_case(field.name, "x-request-id")) continue;
    if (rules.cors && is_cors_field(field.name)) continue;
    if (!rules.shared && (equal_ignoring_case(field.name, "cache-control") || is_for_shared_caches(field.name)))
      continue;
    if (equal_ignoring_case(field.name, "location")) {
      append_field(out, field.name, rewrite_location(field.value, backend.host, prefix));
    } else if (mount.path_mode && equal_ignoring_case(field.name, "set-cookie")) {
      const std::string cookie = rewrite_set_cookie(field.value, prefix);
      if (!cookie.empty()) append_field(out, field.name, cookie);
    } else if (!mount.path_mode || !is_dropped_in_path_mode(field.name)) {
      append_field(out, field.name, field.value);
    }
  }
  append_field(out, "X-EE-Deployment", backend.deployment_id);
  out += "Via: 1.1 easyenclave\r\n";
  if (head.status < 200) return;
  if (!rules.shared) append_private(out, head.fields);
  if (rules.cors) append_cors(out, *rules.cors, rules.origin);
  if (mount.path_mode && may_be_page(head.fields))
    out +=
        "Content-Security-Policy: sandbox allow-scripts allow-forms allow-popups allow-downloads\r\n"
        "X-Content-Type-Options: nosniff\r\n";
}

}  // namespace ee::cp
