#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ee {

/// Every stable code that the product answers, audits or reports, made from error_codes.inc. The slug is part of the
/// API: it is never renamed.
enum class ErrorCode : std::uint16_t {
#define EE_ERROR(slug, status, area, title, meaning, remedy) slug,
#include "common/error_codes.inc"
#undef EE_ERROR
};

/// One row of the error table. All texts point at literals.
struct ErrorInfo {
  ErrorCode code;
  std::string_view slug;
  int http_status;         ///< 0: never in an HTTP answer
  std::string_view area;   ///< which part of the product owns the code
  std::string_view title;  ///< fixed sentence, the `title` of a problem answer
  std::string_view meaning;
  std::string_view remedy;
};

/// The row of `code`. Never fails.
const ErrorInfo& error_info(ErrorCode code);
/// All rows, sorted by slug.
const std::vector<ErrorInfo>& error_table();
/// The code of a slug, or nothing.
std::optional<ErrorCode> error_code_of(std::string_view slug);

inline std::string_view slug(ErrorCode code) { return error_info(code).slug; }

/// What is wrong with one field of a request or configuration. `field` is a path such as `capacity.vcpus` or
/// `checks[2].name`; `code` is a slug of its own small vocabulary (`unknown_field`, `required`, `too_long`, ...).
struct FieldError {
  std::string field;
  std::string code;
  std::string detail;
  bool operator==(const FieldError&) const = default;
};

/// A further member of a problem answer, as the contract of its code names it: `balance`, `required`.
struct ErrorMember {
  std::string name;
  std::string value;
  bool operator==(const ErrorMember&) const = default;
};

/// An expected failure. `detail` is for people: free of tokens, keys, nonces and measured values, since it may reach
/// the caller (a 5xx answer never shows it; the log does).
struct Error {
  ErrorCode code;
  std::string detail = {};
  std::vector<FieldError> fields = {};
  std::optional<std::chrono::seconds> retry_after = {};
  std::vector<ErrorMember> members = {};
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string detail = {}) {
  return std::unexpected(Error{.code = code, .detail = std::move(detail)});
}
[[nodiscard]] inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

}  // namespace ee
