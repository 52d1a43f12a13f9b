#include "cp/domain/scope.h"

#include <boost/json.hpp>
#include <boost/mp11.hpp>

#include "common/json.h"

namespace ee::cp {
namespace {

// In the order of their names.
constexpr Scope kByName[] = {Scope::account,  Scope::agents, Scope::apps,     Scope::billing,
                             Scope::capacity, Scope::deploy, Scope::launcher, Scope::read};

std::optional<Scope> scope_of(std::string_view name) {
  for (const Scope scope : kByName)
    if (boost::describe::enum_to_string(scope, "") == name) return scope;
  return std::nullopt;
}

}  // namespace

std::vector<std::string> Scopes::names() const {
  std::vector<std::string> out;
  out.reserve(std::size(kByName));
  for (const Scope scope : kByName)
    if (has(scope)) out.emplace_back(boost::describe::enum_to_string(scope, ""));
  return out;
}

std::string Scopes::json() const {
  std::string out = "[";
  for (const std::string& name : names()) {
    if (out.size() > 1) out += ',';
    out += json::quote(name);
  }
  return out + "]";
}

std::optional<Scopes> Scopes::of_names(const std::vector<std::string>& names) {
  Scopes out;
  for (const std::string& name : names) {
    const auto scope = scope_of(name);
    if (!scope) return std::nullopt;
    out.add(*scope);
  }
  return out;
}

std::optional<Scopes> Scopes::of_json(std::string_view text) {
  const auto parsed = json::parse(text);
  if (!parsed || !parsed->is_array()) return std::nullopt;
  std::vector<std::string> names;
  names.reserve(parsed->get_array().size());
  for (const auto& item : parsed->get_array()) {
    if (!item.is_string()) return std::nullopt;
    names.emplace_back(item.get_string());
  }
  return of_names(names);
}

}  // namespace ee::cp
