#include "attestation/verify/json_fields.h"

#include <boost/json/value.hpp>

namespace ee::attestation {

Fields::Fields(const boost::json::value& value, std::string_view name, FieldProblem& problem)
    : object_(value.if_object()), problem_(&problem) {
  if (object_ == nullptr) problem_->note(name);
}

const boost::json::value* Fields::find(std::string_view name) const {
  return object_ == nullptr ? nullptr : object_->if_contains(name);
}

std::int64_t Fields::integer(std::string_view name, std::int64_t min, std::int64_t max) const {
  const boost::json::value* value = find(name);
  const std::int64_t* number = value == nullptr ? nullptr : value->if_int64();
  if (number != nullptr && *number >= min && *number <= max) return *number;
  problem_->note(name);
  return min;
}

std::string_view Fields::text(std::string_view name) const {
  const boost::json::value* value = find(name);
  const boost::json::string* text = value == nullptr ? nullptr : value->if_string();
  if (text != nullptr) return {text->data(), text->size()};
  problem_->note(name);
  return {};
}

UtcTime Fields::time(std::string_view name) const {
  const auto time = parse_rfc3339(text(name));
  if (!time) problem_->note(name);
  return time.value_or(UtcTime{});
}

Fields Fields::object(std::string_view name) const {
  static const boost::json::value kNothing;
  const boost::json::value* value = find(name);
  return {value == nullptr ? kNothing : *value, name, *problem_};
}

const boost::json::array& Fields::array(std::string_view name, std::size_t min, std::size_t max) const {
  static const boost::json::array kEmpty;
  const boost::json::value* value = find(name);
  const boost::json::array* array = value == nullptr ? nullptr : value->if_array();
  if (array != nullptr && array->size() >= min && array->size() <= max) return *array;
  problem_->note(name);
  return kEmpty;
}

}  // namespace ee::attestation
