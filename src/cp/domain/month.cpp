#include "cp/domain/month.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace ee::cp {

namespace {
constexpr int kFirstYear = 1970;
constexpr int kLastIndex = (9999 - kFirstYear) * 12 + 11;
int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : -1; }
}  // namespace

std::optional<Month> Month::parse(std::string_view text) {
  if (text.size() != 7 || text[4] != '-') return std::nullopt;
  int year = 0;
  for (const char c : text.substr(0, 4)) {
    if (digit(c) < 0) return std::nullopt;
    year = year * 10 + digit(c);
  }
  if (digit(text[5]) < 0 || digit(text[6]) < 0) return std::nullopt;
  const int month = digit(text[5]) * 10 + digit(text[6]);
  if (year < kFirstYear || month < 1 || month > 12) return std::nullopt;
  return Month((year - kFirstYear) * 12 + month - 1);
}

Month Month::of(UtcTime time) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
  const int index = (static_cast<int>(day.year()) - kFirstYear) * 12 + static_cast<int>(unsigned{day.month()}) - 1;
  return Month(std::min(std::max(index, 0), kLastIndex));
}

UtcTime Month::begin() const {
  const std::chrono::year_month_day day{std::chrono::year(kFirstYear + index_ / 12),
                                        std::chrono::month(static_cast<unsigned>(index_ % 12 + 1)),
                                        std::chrono::day(1)};
  return UtcTime(std::chrono::sys_days(day));
}

Month Month::next() const { return Month(index_ + 1); }
Month Month::previous() const { return Month(index_ - 1); }
std::string Month::text() const { return fmt::format("{:04}-{:02}", kFirstYear + index_ / 12, index_ % 12 + 1); }

}  // namespace ee::cp
