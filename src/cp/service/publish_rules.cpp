#include "cp/service/publish_rules.h"

#include <algorithm>

#include "common/node_size.h"
#include "common/utf8.h"

namespace ee::cp {
namespace {

using Fields = std::vector<FieldError>;

void check(Fields& fields, bool good, std::string field, std::string detail) {
  if (!good) fields.push_back({.field = std::move(field), .code = "bad_format", .detail = std::move(detail)});
}

bool is_path_prefix(std::string_view path) {
  return path.starts_with('/') && path.find("..") == std::string_view::npos &&
         std::ranges::all_of(path, [](char c) { return c > ' ' && c < '\x7f' && c != '?' && c != '#' && c != '%'; });
}
bool is_health_path(std::string_view path) {
  return path.empty() ||
         (path.starts_with('/') && std::ranges::all_of(path, [](char c) { return c > ' ' && c < '\x7f' && c != '#'; }));
}

/// What may be on the largest machine, when the version is for any size.
compose::Ceiling ceiling_of(const std::string& node_size) {
  compose::Ceiling most;
  for (const NodeSize& size : node_sizes()) {
    const compose::Ceiling one = compose::ceiling_of(size);
    if (size.name == node_size) return one;
    most.vcpus = std::max(most.vcpus, one.vcpus);
    most.memory_mib = std::max(most.memory_mib, one.memory_mib);
    most.gpu_count = std::max(most.gpu_count, one.gpu_count);
  }
  return most;
}

Result<compose::Workload> check_compose(const std::string& text, const std::string& node_size,
                                        std::vector<std::uint16_t> ports, const PublishSettings& settings) {
  return compose::check(text, {.ceiling = ceiling_of(node_size),
                               .request = {},
                               .ingress_ports = std::move(ports),
                               .reserved_ports = settings.reserved_ports,
                               .require_digests = false,
                               .allowed_registries = settings.allowed_registries});
}

}  // namespace

Result<void> check_version_request(const VersionRequest& wanted) {
  Fields fields;
  check(fields, is_app_version(wanted.version), "version",
        "1 to 64 of A-Z a-z 0-9 . _ + -, beginning with a letter or digit, and not latest");
  if (wanted.ingress) {
    std::vector<std::string> prefixes;
    for (std::size_t i = 0; i < wanted.ingress->size(); ++i) {
      const std::string& prefix = (*wanted.ingress)[i].path_prefix;
      const std::string at = "ingress[" + std::to_string(i) + "].path_prefix";
      check(fields, is_path_prefix(prefix), at, "begins with / and holds no ..");
      check(fields, std::ranges::find(prefixes, prefix) == prefixes.end(), at, "stands there twice");
      prefixes.push_back(prefix);
    }
  }
  check(fields, is_health_path(wanted.health_path.value_or("")), "health_path", "a path, or empty");
  if (wanted.declared_digests) {
    check(fields, wanted.declared_digests->size() <= 16, "declared_digests", "at most 16 services");
    for (const auto& [service, digest] : *wanted.declared_digests)
      check(fields, is_dns_label(service) && is_image_digest(digest), "declared_digests", "service to sha256 digest");
  }
  if (wanted.source_commit)
    check(fields, is_lower_hex(*wanted.source_commit, 40) || is_lower_hex(*wanted.source_commit, 64), "source_commit",
          "40 or 64 hexadecimal digits");
  if (wanted.source_tag)
    check(fields, std::ranges::all_of(*wanted.source_tag, [](char c) { return c > ' ' && c < '\x7f'; }), "source_tag",
          "a tag of git");
  if (!fields.empty()) return fail(Error{.code = ErrorCode::invalid_request, .fields = std::move(fields)});
  if (wanted.node_size && find_node_size(*wanted.node_size) == nullptr) return fail(ErrorCode::unknown_node_size);
  return {};
}

Result<compose::Workload> check_published_compose(const VersionRequest& wanted, const PublishSettings& settings) {
  std::vector<std::uint16_t> ports;
  if (wanted.ingress)
    for (const VersionIngress& ingress : *wanted.ingress) ports.push_back(static_cast<std::uint16_t>(ingress.port));
  return check_compose(wanted.compose, wanted.node_size.value_or(""), std::move(ports), settings);
}

Result<compose::Workload> check_stored_compose(const AppVersionRow& row, const PublishSettings& settings) {
  return check_compose(row.compose, row.node_size, {}, settings);
}

}  // namespace ee::cp
