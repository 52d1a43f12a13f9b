#include <algorithm>
#include <boost/json/value.hpp>
#include <ranges>

#include "common/compose/rules.h"
#include "common/compose/values.h"

namespace ee::compose {
namespace {

constexpr std::size_t kMaxEnvironment = 128;
constexpr std::size_t kMaxEnvNameChars = 128;
constexpr std::size_t kMaxLabels = 32;
constexpr std::size_t kMaxLabelNameChars = 128;

std::string_view name_of(const boost::json::key_value_pair& member) {
  return {member.key().data(), member.key().size()};
}

bool is_env_name(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  const auto allowed = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
  return !text.empty() && text.size() <= kMaxEnvNameChars && letter(text.front()) && std::ranges::all_of(text, allowed);
}

bool is_label_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelNameChars &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F && c != '='; });
}

bool is_reserved_label(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return lower.starts_with("com.easyenclave.") || lower.starts_with("com.docker.");
}

template <class Names>
bool holds(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool registry_allowed(const CheckOptions& options, const ImageRef& image) {
  if (options.allowed_registries.empty()) return true;
  return holds(options.allowed_registries, image.host) || holds(options.allowed_registries, image.api_host());
}

void add_variable(Scope& scope, const std::string& path, std::string_view name, std::optional<std::string> value,
                  Service& to) {
  if (!is_env_name(name)) return scope.breaches.add(path, kOutOfRange, "The name of the variable is not valid.");
  if (holds(to.environment | std::views::transform(&EnvVariable::name), name))
    return scope.breaches.add(path, kOutOfRange, "The variable is there twice.");
  if (!value && scope.options.request) {
    const RequestNames& request = *scope.options.request;
    if (!holds(request.env, name) && !holds(request.env_secrets, name))
      return scope.breaches.add(path, "env_unset", "Neither env nor secrets of the request have this name.");
  }
  to.environment.push_back({std::string(name), std::move(value)});
}

void add_label(Scope& scope, const std::string& path, std::string_view name, std::optional<std::string> value,
               Service& to) {
  if (!is_label_name(name) || is_reserved_label(name) || !value)
    return scope.breaches.add(path, kOutOfRange, "The label is not valid, or its beginning is reserved.");
  if (!to.labels.emplace(name, *value).second) scope.breaches.add(path, kOutOfRange, "The label is there twice.");
}

void add_dependency(Scope& scope, const std::string& path, std::string_view name, Condition condition, Service& to) {
  if (!scope.services.contains(name)) return scope.breaches.add(path, kOutOfRange, "There is no service of this name.");
  if (holds(to.depends_on | std::views::transform(&Dependency::service), name))
    return scope.breaches.add(path, kOutOfRange, "The service is there twice.");
  to.depends_on.push_back({std::string(name), condition});
}

std::optional<Condition> condition_of(const Value& value) {
  const std::string_view text = value.is_string() ? view(value) : std::string_view();
  if (text == "service_started") return Condition::service_started;
  if (text == "service_healthy") return Condition::service_healthy;
  if (text == "service_completed_successfully") return Condition::service_completed_successfully;
  return std::nullopt;
}

void read_dependency(Scope& scope, const std::string& path, std::string_view name, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a mapping with a condition.");
  for (const auto& member : *keys)
    if (name_of(member) != "condition")
      scope.breaches.add(child(path, name_of(member)), kNotAllowed, "Only a condition is allowed here.");
  const Value* condition = keys->if_contains("condition");
  const auto read = condition == nullptr ? std::nullopt : condition_of(*condition);
  if (!read)
    return scope.breaches.add(child(path, "condition"), kOutOfRange,
                              "It is service_started, service_healthy or service_completed_successfully.");
  add_dependency(scope, path, name, *read, to);
}

}  // namespace

void read_image(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (!value.is_string()) return scope.breaches.add(path, "image_invalid", "The image is a text.");
  const auto image = parse_image_ref(view(value));
  if (!image) return scope.breaches.add(path, "image_invalid", image.error().detail);
  to.image = *image;
  if (scope.options.require_digests && !image->digest)
    scope.breaches.add(path, "image_unpinned", "The image needs its digest: name@sha256:...");
  else if (scope.resolved && image->pinned() != view(value))
    scope.breaches.add(path, "image_unpinned", "A resolved document has host/path@sha256:...");
  if (!registry_allowed(scope.options, *image))
    scope.breaches.add(path, "registry_not_allowed", "Images of this registry are not allowed.");
}

void read_environment(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* map = value.if_object();
  const auto* list = value.if_array();
  if (map == nullptr && list == nullptr)
    return scope.breaches.add(path, kOutOfRange, "It is a mapping, or a list of NAME=value.");
  if ((map != nullptr ? map->size() : list->size()) > kMaxEnvironment)
    return scope.breaches.add(path, kOutOfRange, "At most 128 variables are allowed.");
  if (map != nullptr) {
    for (const auto& member : *map) {
      const auto text = scalar_text(member.value());
      if (!text && !member.value().is_null())
        scope.breaches.add(child(path, name_of(member)), kOutOfRange, "The value is a text, a number, true or false.");
      else
        add_variable(scope, child(path, name_of(member)), name_of(member), text, to);
    }
    return;
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Value& item = (*list)[i];
    if (!item.is_string()) {
      scope.breaches.add(child(path, i), kOutOfRange, "It is NAME=value, or NAME.");
      continue;
    }
    const std::string text = literal(view(item));
    const auto equals = text.find('=');
    const auto given = equals == text.npos ? std::nullopt : std::optional(text.substr(equals + 1));
    add_variable(scope, child(path, i), std::string_view(text).substr(0, equals), given, to);
  }
}

void read_labels(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* map = value.if_object();
  const auto* list = value.if_array();
  if (map == nullptr && list == nullptr)
    return scope.breaches.add(path, kOutOfRange, "It is a mapping, or a list of name=value.");
  if ((map != nullptr ? map->size() : list->size()) > kMaxLabels)
    return scope.breaches.add(path, kOutOfRange, "At most 32 labels are allowed.");
  if (map != nullptr) {
    for (const auto& member : *map) {
      const auto text = member.value().is_null() ? std::optional<std::string>("") : scalar_text(member.value());
      add_label(scope, child(path, name_of(member)), name_of(member), text, to);
    }
    return;
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto text = (*list)[i].is_string() ? literal(view((*list)[i])) : std::string();
    const auto equals = text.find('=');
    add_label(scope, child(path, i), std::string_view(text).substr(0, equals),
              equals == text.npos ? std::string() : text.substr(equals + 1), to);
  }
}

void read_secrets(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, "secret_unknown", "It is a list of names of file secrets.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string_view name = (*list)[i].is_string() ? view((*list)[i]) : std::string_view();
    const bool known =
        is_request_key(name) && (!scope.options.request || holds(scope.options.request->file_secrets, name));
    if (!known)
      scope.breaches.add(child(path, i), "secret_unknown", "The request has no file secret of this name.");
    else if (holds(to.file_secrets, name))
      scope.breaches.add(child(path, i), kOutOfRange, "The secret is there twice.");
    else
      to.file_secrets.emplace_back(name);
  }
}

void read_depends_on(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (const auto* map = value.if_object()) {
    for (const auto& member : *map)
      read_dependency(scope, child(path, name_of(member)), name_of(member), member.value(), to);
    return;
  }
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a list of services, or a mapping.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string_view name = (*list)[i].is_string() ? view((*list)[i]) : std::string_view();
    add_dependency(scope, child(path, i), name, Condition::service_started, to);
  }
}

}  // namespace ee::compose
