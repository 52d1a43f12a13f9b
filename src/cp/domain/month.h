#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"

namespace ee::cp {

/// A calendar month in UTC, for statements.
class Month {
 public:
  /// `yyyy-mm`, years 1970 to 9999; nothing otherwise.
  static std::optional<Month> parse(std::string_view text);
  static Month of(UtcTime time);

  UtcTime begin() const;
  /// The begin of the next one.
  UtcTime end() const { return next().begin(); }
  Month next() const;
  Month previous() const;
  std::string text() const;
  auto operator<=>(const Month&) const = default;

 private:
  explicit Month(int index) : index_(index) {}
  int index_;  // months since 1970-01
};

}  // namespace ee::cp
