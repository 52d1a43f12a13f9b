#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/time.h"

// How the readers of Intel's signed documents take members out of parsed JSON. Included by .cpp files only.
namespace ee::attestation {

/// Remembers the first member that was missing or wrong, for all objects of one document. Reading goes on with empty
/// values, and the reader asks once at the end.
class FieldProblem {
 public:
  void note(std::string_view field) {
    if (field_.empty()) field_ = field;
  }
  bool any() const { return !field_.empty(); }
  const std::string& field() const { return field_; }

 private:
  std::string field_;
};

/// One JSON object. Every method notes a problem when the member is missing or not of its type and within its bounds.
/// Members that nobody asks for are ignored: Intel adds some, and they are signed.
class Fields {
 public:
  Fields(const boost::json::value& value, std::string_view name, FieldProblem& problem);

  std::int64_t integer(std::string_view name, std::int64_t min, std::int64_t max) const;
  /// Hexadecimal digits of either case.
  template <std::size_t N>
  ByteArray<N> hex(std::string_view name) const {
    const auto bytes = from_hex_exact<N>(text(name));
    if (!bytes) problem_->note(name);
    return bytes.value_or(ByteArray<N>{});
  }
  UtcTime time(std::string_view name) const;
  std::string_view text(std::string_view name) const;
  Fields object(std::string_view name) const;
  /// An array of `min` to `max` elements; empty on a problem.
  const boost::json::array& array(std::string_view name, std::size_t min, std::size_t max) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  void note(std::string_view name) const { problem_->note(name); }
  FieldProblem& problem() const { return *problem_; }

 private:
  const boost::json::value* find(std::string_view name) const;
  const boost::json::object* object_ = nullptr;
  FieldProblem* problem_;
};

}  // namespace ee::attestation
