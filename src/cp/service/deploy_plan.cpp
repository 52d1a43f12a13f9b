#include "cp/service/deploy_plan.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "common/compose/compose.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/node_size.h"
#include "cp/service/measurement.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxEnvBytes = 32UL * 1024;
constexpr std::size_t kMaxSecretBytes = 16UL * 1024;
constexpr std::size_t kMaxSecretsBytes = 64UL * 1024;

bool is_env_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  return !name.empty() && name.size() <= 64 && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

class Fields {
 public:
  void add(std::string field, std::string code, std::string detail) {
    if (fields_.size() < 50) fields_.push_back({std::move(field), std::move(code), std::move(detail)});
  }
  Result<void> done() {
    if (fields_.empty()) return {};
    return fail(Error{.code = ErrorCode::invalid_request, .fields = std::move(fields_)});
  }

 private:
  std::vector<FieldError> fields_;
};

void check_cloud_list(Fields& fields, const std::optional<std::vector<std::string>>& list, const std::string& field,
                      bool datacenters) {
  if (!list) return;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string& value = (*list)[i];
    const bool good = datacenters ? parse_datacenter(value).has_value() : parse_datacenter(value + ":x").has_value();
    if (!good) fields.add(field + "[" + std::to_string(i) + "]", "bad_format", "not a known form");
  }
}

bool in_both(const std::optional<std::vector<std::string>>& a, const std::optional<std::vector<std::string>>& b) {
  if (!a || !b) return false;
  return std::ranges::any_of(*a, [&](const std::string& value) { return std::ranges::find(*b, value) != b->end(); });
}

std::vector<agent_api::IngressRule> default_ingress() { return {{.path_prefix = "/", .port = 8080}}; }

compose::CheckOptions options_for(const std::string& node_size, const WorkloadWanted& wanted,
                                  const std::vector<agent_api::IngressRule>& ingress,
                                  const DeploymentSettings& settings) {
  compose::CheckOptions options;
  if (const NodeSize* size = find_node_size(node_size)) options.ceiling = compose::ceiling_of(*size);
  compose::RequestNames names;
  for (const auto& [name, value] : wanted.env) names.env.push_back(name);
  for (const auto& [name, secret] : wanted.secrets)
    (secret.as == SecretKind::file ? names.file_secrets : names.env_secrets).push_back(name);
  options.request = std::move(names);
  for (const agent_api::IngressRule& rule : ingress)
    options.ingress_ports.push_back(static_cast<std::uint16_t>(rule.port));
  options.reserved_ports = settings.reserved_ports;
  options.allowed_registries = settings.allowed_registries;
  return options;
}

/// The part of a revision that every source shares.
PlannedWorkload begin_plan(const WorkloadWanted& wanted, const std::vector<agent_api::IngressRule>& ingress,
                           const std::string& health_path, const compose::Workload& checked) {
  PlannedWorkload out;
  out.revision.ingress = json::write(ingress);
  out.revision.env = json::write(wanted.env);
  out.revision.health_path = health_path;
  out.revision.deploy_timeout_seconds = wanted.deploy_timeout_seconds;
  out.secrets = wanted.secrets;
  out.nano_cpus = checked.needs.nano_cpus;
  out.memory_mib = checked.needs.memory_mib;
  out.gpu_count = checked.needs.gpu_count;
  return out;
}

struct IngressList {
  std::vector<agent_api::IngressRule> items;
};
BOOST_DESCRIBE_STRUCT(IngressList, (), (items))

struct MeasuredImages {
  std::map<std::string, MeasuredImage> items;
};
BOOST_DESCRIBE_STRUCT(MeasuredImages, (), (items))

/// The catalogue keeps how each image was measured; a revision keeps what runs: service to pinned reference.
Result<void> take_images(const std::string& measured, PlannedWorkload& out) {
  const auto read = json::read<MeasuredImages>("{\"items\":" + measured + "}");
  if (!read) return fail(ErrorCode::internal_error, "a stored measurement is damaged");
  std::map<std::string, std::string> pinned;
  for (const auto& [service, image] : read->items) {
    pinned.emplace(service, image.pinned);
    for (const std::string& code : image.warnings)
      out.warnings.push_back({.code = code, .detail = "service " + service + ", image " + image.original});
  }
  out.revision.images = json::write(pinned);
  return {};
}

}  // namespace

Result<SecretValues> secrets_of(const std::optional<std::map<std::string, boost::json::value>>& wanted) {
  SecretValues out;
  if (!wanted) return out;
  Fields fields;
  std::size_t total = 0;
  for (const auto& [name, value] : *wanted) {
    const std::string field = "secrets." + (is_env_name(name) ? name : std::string("?"));
    SecretValue secret;
    const boost::json::value* text = &value;
    if (const auto* object = value.if_object()) {
      text = object->if_contains("value");
      const auto* as = object->if_contains("as");
      if (object->size() != (as == nullptr ? 1U : 2U)) fields.add(field, "unknown_field", "value and as");
      if (as != nullptr && (!as->is_string() || (as->as_string() != "env" && as->as_string() != "file")))
        fields.add(field + ".as", "not_in_enum", "env or file");
      else if (as != nullptr && as->as_string() == "file")
        secret.as = SecretKind::file;
    }
    if (text == nullptr || !text->is_string()) {
      fields.add(field, "wrong_type", "a text, or value and as");
      continue;
    }
    secret.value = Secret(std::string(text->as_string()));
    if (secret.value.reveal().size() > kMaxSecretBytes) fields.add(field, "too_long", "at most 16 KiB");
    if (secret.value.reveal().find('\0') != std::string::npos) fields.add(field, "bad_format", "no zero bytes");
    total += secret.value.reveal().size();
    out.emplace(name, std::move(secret));
  }
  if (total > kMaxSecretsBytes) fields.add("secrets", "too_long", "at most 64 KiB in all");
  if (auto done = fields.done(); !done) return std::unexpected(done.error());
  return out;
}

Result<void> check_env(const std::map<std::string, std::string>& env, const SecretValues& secrets) {
  Fields fields;
  std::size_t total = 0;
  for (const auto& [name, value] : env) {
    if (!is_env_name(name)) fields.add("env", "bad_format", "names are [A-Za-z_][A-Za-z0-9_]{0,63}");
    if (value.size() > 4096) fields.add("env." + name, "too_long", "at most 4 KiB");
    if (value.find('\0') != std::string::npos) fields.add("env." + name, "bad_format", "no zero bytes");
    total += name.size() + value.size();
  }
  if (total > kMaxEnvBytes) fields.add("env", "too_long", "at most 32 KiB in all");
  for (const auto& [name, secret] : secrets)
    if (!is_env_name(name)) fields.add("secrets", "bad_format", "names are [A-Za-z_][A-Za-z0-9_]{0,63}");
  if (auto done = fields.done(); !done) return done;
  for (const auto& [name, value] : env)
    if (secrets.contains(name))
      return fail(Error{.code = ErrorCode::env_duplicate,
                        .fields = {{.field = "env." + name, .code = "env_duplicate", .detail = "also in secrets"}}});
  return {};
}

Result<void> check_ingress(const std::vector<agent_api::IngressRule>& ingress) {
  Fields fields;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < ingress.size(); ++i)
    if (!seen.insert(ingress[i].path_prefix).second)
      fields.add("ingress[" + std::to_string(i) + "].path_prefix", "duplicate", "stands twice");
  return fields.done();
}

Result<void> check_fields(const DeployRequest& request) {
  const bool from_app = request.app || request.version;
  if (from_app == request.compose.has_value() || request.app.has_value() != request.version.has_value())
    return fail(ErrorCode::workload_source, "exactly one of app with version, and compose");
  Fields fields;
  if (request.compose && !request.service) fields.add("service", "required", "needed with compose");
  if (request.node_size && find_node_size(*request.node_size) == nullptr)
    fields.add("node_size", "not_in_enum", "not a known node size");
  if (request.agent_name && !is_dns_label(*request.agent_name)) fields.add("agent_name", "bad_format", "a DNS label");
  const std::int64_t replicas = request.replicas.value_or(1);
  if (request.agent_name && replicas != 1) fields.add("replicas", "above_max", "1 with agent_name");
  if (request.replaces && replicas != 1) fields.add("replicas", "above_max", "1 with replaces");
  if (request.placement) {
    const PlacementRequest& placement = *request.placement;
    check_cloud_list(fields, placement.datacenters, "placement.datacenters", true);
    check_cloud_list(fields, placement.excluded_datacenters, "placement.excluded_datacenters", true);
    check_cloud_list(fields, placement.clouds, "placement.clouds", false);
    check_cloud_list(fields, placement.excluded_clouds, "placement.excluded_clouds", false);
  }
  if (auto done = fields.done(); !done) return done;
  if (request.ingress)
    if (auto done = check_ingress(*request.ingress); !done) return done;
  if (request.placement && (in_both(request.placement->datacenters, request.placement->excluded_datacenters) ||
                            in_both(request.placement->clouds, request.placement->excluded_clouds)))
    return fail(ErrorCode::placement_conflict, "a value is both allowed and excluded");
  return {};
}

PlacementRules rules_of(const std::optional<PlacementRequest>& wanted) {
  if (!wanted) return {};
  return {.datacenters = wanted->datacenters.value_or(std::vector<std::string>()),
          .excluded_datacenters = wanted->excluded_datacenters.value_or(std::vector<std::string>()),
          .clouds = wanted->clouds.value_or(std::vector<std::string>()),
          .excluded_clouds = wanted->excluded_clouds.value_or(std::vector<std::string>())};
}

Result<PlannedWorkload> plan_raw(const std::string& text, const std::string& node_size, const WorkloadWanted& wanted,
                                 const DeploymentSettings& settings, const PinImages& pin) {
  if (settings.raw_compose_policy == "deny") return fail(ErrorCode::raw_compose_disabled);
  const auto ingress = wanted.ingress.value_or(default_ingress());
  compose::CheckOptions options = options_for(node_size, wanted, ingress, settings);
  options.require_digests = settings.raw_compose_policy != "allow";
  const auto checked = compose::check(text, options);
  if (!checked) return std::unexpected(checked.error());
  auto pinned = compose::own_digests(*checked);
  if (!pinned && options.require_digests) return fail(ErrorCode::compose_forbidden, "every image needs its digest");
  if (!pinned) {
    auto found = pin(text);
    if (!found) return std::unexpected(found.error());
    pinned = std::move(*found);
  }
  const auto resolved = compose::resolve(*checked, *pinned);
  if (!resolved) return std::unexpected(resolved.error());
  PlannedWorkload out = begin_plan(wanted, ingress, wanted.health_path.value_or("/health"), *checked);
  out.revision.compose = text;
  out.revision.compose_sha256 = to_hex(sha256(bytes_of(text)));
  out.revision.resolved_compose = resolved->compose;
  out.revision.compose_hash = resolved->compose_hash;
  out.revision.workload_hash = resolved->workload_hash;
  out.revision.images = json::write(resolved->images);
  return out;
}

Result<PlannedWorkload> plan_version(const PlannedVersion& version, const DeployableVariant& variant,
                                     const std::string& node_size, const WorkloadWanted& wanted,
                                     const DeploymentSettings& settings) {
  std::vector<agent_api::IngressRule> ingress = default_ingress();
  if (wanted.ingress) {
    ingress = *wanted.ingress;
  } else if (variant.ingress) {
    const auto stored = json::read<IngressList>("{\"items\":" + *variant.ingress + "}");
    if (!stored) return fail(ErrorCode::internal_error, "a stored version is damaged");
    ingress = stored->items;
  }
  compose::CheckOptions options = options_for(node_size, wanted, ingress, settings);
  options.require_digests = false;  // its images were measured
  options.allowed_registries = {};
  const auto checked = compose::check(variant.compose, options);
  if (!checked) return std::unexpected(checked.error());
  if (!variant.resolved_compose || !variant.images || !variant.compose_hash || !variant.workload_hash)
    return fail(ErrorCode::internal_error, "an attested version without its measurement");
  PlannedWorkload out =
      begin_plan(wanted, ingress, wanted.health_path.value_or(variant.health_path.value_or("/health")), *checked);
  out.revision.app_id = version.app.id;
  out.revision.app_name = version.app.name;
  out.revision.app_version = version.version;
  out.revision.version_id = variant.id;
  out.revision.compose_sha256 = variant.compose_sha256;
  out.revision.resolved_compose = *variant.resolved_compose;
  out.revision.compose_hash = *variant.compose_hash;
  out.revision.workload_hash = *variant.workload_hash;
  if (auto taken = take_images(*variant.images, out); !taken) return std::unexpected(taken.error());
  return out;
}

Result<std::vector<DeployableVariant>> attested_of(const std::vector<DeployableVariant>& variants) {
  if (variants.empty()) return fail(ErrorCode::version_not_found);
  std::vector<DeployableVariant> out;
  std::set<std::string> statuses;
  for (const DeployableVariant& variant : variants) {
    statuses.insert(variant.status);
    if (variant.status == "attested") out.push_back(variant);
  }
  if (!out.empty()) return out;
  if (statuses.contains("pending") || statuses.contains("measuring")) return fail(ErrorCode::version_not_attested);
  return fail(statuses.contains("yanked") ? ErrorCode::version_yanked : ErrorCode::version_rejected);
}

}  // namespace ee::cp
