#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/require.h"

namespace ee::json {
namespace {

namespace bj = boost::json;
using detail::Kind;
using detail::Member;
using detail::Type;

bj::string_view text(std::string_view view) { return {view.data(), view.size()}; }

void add_format(bj::object& to, const Rule& rule) {
  switch (rule.format) {
    case Format::any: return;
    case Format::dns_label: to["pattern"] = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"; return;
    case Format::uuid: to["format"] = "uuid"; return;
    case Format::hex:
      to["pattern"] = rule.size == 0 ? "^([0-9a-f]{2})*$" : fmt::format("^[0-9a-f]{{{}}}$", rule.size);
      return;
    case Format::base64:
      to["contentEncoding"] = "base64";
      to["maxLength"] = (rule.size + 2) / 3 * 4;
      return;
    case Format::rfc3339: to["format"] = "date-time"; return;
    case Format::url: to["format"] = "uri"; return;
    case Format::custom: to["pattern"] = text(rule.pattern); return;
  }
}

class Describer {
 public:
  Describer(SchemaUse use, SchemaSet& set) : use_(use), set_(set) {}

  bj::object describe(const Type& type, const Rule& rule) {
    switch (type.kind) {
      case Kind::boolean: return {{"type", "boolean"}};
      case Kind::integer: return integer(type, rule);
      case Kind::text:
      case Kind::secret: return string(type, rule);
      case Kind::time: return {{"type", "string"}, {"format", "date-time"}};
      case Kind::money: return {{"type", "string"}, {"pattern", "^-?[0-9]{1,13}(\\.[0-9]{1,6})?$"}};
      case Kind::enumeration: return enumeration(type);
      case Kind::optional: return nullable(describe(type.element(), rule));
      case Kind::list: return list(type, rule);
      case Kind::map: return {{"type", "object"}, {"additionalProperties", describe(type.element(), rule)}};
      case Kind::object: return type.name.empty() ? object(type) : component(type);
      case Kind::any: return {};
    }
    return {};
  }

 private:
  static bj::object integer(const Type& type, const Rule& rule) {
    bj::object out{{"type", "integer"}, {"format", type.max > INT32_MAX ? "int64" : "int32"}};
    const std::int64_t min = std::max(type.min, rule.min);
    const std::int64_t max = std::min(type.max, rule.max);
    if (min != INT64_MIN && min != INT32_MIN) out["minimum"] = min;
    if (max != INT64_MAX && max != INT32_MAX) out["maximum"] = max;
    return out;
  }
  static bj::object string(const Type& type, const Rule& rule) {
    bj::object out{{"type", "string"}};
    if (rule.min_length != 0) out["minLength"] = rule.min_length;
    if (rule.max_length != Rule::kNoLimit) out["maxLength"] = rule.max_length;
    add_format(out, rule);
    if (type.kind == Kind::secret) out["writeOnly"] = true;
    return out;
  }
  static bj::object enumeration(const Type& type) {
    bj::array names;
    for (const detail::EnumName& name : type.names) names.emplace_back(text(name.name));
    return {{"type", "string"}, {"enum", std::move(names)}};
  }
  static bj::object nullable(bj::object inner) {
    if (inner.empty()) return inner;
    if (!inner.contains("type") || inner.contains("enum"))
      return {{"anyOf", bj::array{std::move(inner), bj::object{{"type", "null"}}}}};
    if (inner["type"].is_string()) inner["type"] = bj::array{inner["type"], "null"};
    return inner;
  }
  bj::object list(const Type& type, const Rule& rule) {
    bj::object out{{"type", "array"}, {"items", describe(type.element(), rule)}};
    if (rule.min_items != 0) out["minItems"] = rule.min_items;
    if (rule.max_items != Rule::kNoLimit) out["maxItems"] = rule.max_items;
    return out;
  }
  bj::object object(const Type& type) {
    bj::object properties;
    bj::array required;
    for (const Member& member : type.members) {
      bj::object property = describe(member.type(), member.rule);
      if (!member.rule.description.empty()) property["description"] = text(member.rule.description);
      properties[text(member.name)] = std::move(property);
      const bool may_be_absent = member.type().kind == Kind::optional || member.rule.has_default;
      if (use_ == SchemaUse::answer || !may_be_absent) required.emplace_back(text(member.name));
    }
    bj::object out{{"type", "object"}, {"properties", std::move(properties)}};
    if (!required.empty()) out["required"] = std::move(required);
    if (use_ == SchemaUse::request) out["additionalProperties"] = false;
    return out;
  }
  bj::object component(const Type& type) {
    std::string name(type.name);
    if (use_ == SchemaUse::request && !name.ends_with("Request")) name += "Input";
    const bj::object reference{{"$ref", "#/components/schemas/" + name}};
    for (const std::string& open : open_)
      if (open == name) return reference;  // it contains itself
    open_.push_back(name);
    const std::string schema = bj::serialize(object(type));
    open_.pop_back();
    require(set_.add(name, schema));  // two structs share a json_name
    return reference;
  }

  SchemaUse use_;
  SchemaSet& set_;
  std::vector<std::string> open_;
};

}  // namespace

bool SchemaSet::add(const std::string& name, const std::string& schema) {
  return components_.try_emplace(name, schema).first->second == schema;
}

std::string detail::schema_text(const Type& type, SchemaUse use, SchemaSet& set) {
  return bj::serialize(Describer(use, set).describe(type, Rule{}));
}

}  // namespace ee::json
