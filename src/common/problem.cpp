#include "common/problem.h"

#include <optional>
#include <vector>

#include "common/json.h"
#include "common/redact.h"

namespace ee {
namespace {

/// A code that belongs in no HTTP answer means that something inside went wrong.
ErrorCode shown_code(const Error& error) {
  return error_info(error.code).http_status == 0 ? ErrorCode::internal_error : error.code;
}

bool hides_detail(const Error& error, const ErrorInfo& info) {
  if (info.code == ErrorCode::maintenance) return false;  // what the operator wants everybody to know
  if (info.http_status >= 500) return true;
  const bool about_evidence = info.area == "attestation" || info.code == ErrorCode::pop_signature_invalid;
  return about_evidence && !(info.http_status == 400 && !error.fields.empty());
}

void append_member(std::string& to, std::string_view name, std::string_view value) {
  to += ',';
  json::append_quoted(to, name);
  to += ':';
  json::append_quoted(to, value);
}

void append_own(std::string& to, const ErrorMember& member) {
  if (member.name != kReasonsMember) return append_member(to, member.name, scrub(member.value));
  to += ",\"" + member.name + "\":" + member.value;
}

void append_fields(std::string& to, const std::vector<FieldError>& fields) {
  to += ",\"errors\":[";
  bool first = true;
  for (const FieldError& field : fields) {
    to += first ? "{\"field\":" : ",{\"field\":";
    first = false;
    json::append_quoted(to, scrub(field.field));
    append_member(to, "code", field.code);
    append_member(to, "detail", scrub(field.detail));
    to += '}';
  }
  to += ']';
}

}  // namespace

int problem_status(const Error& error) { return error_info(shown_code(error)).http_status; }

std::string problem_json(const Error& error, std::string_view request_id) {
  const ErrorInfo& info = error_info(shown_code(error));
  std::string out = "{\"type\":" + json::quote(std::string(kProblemTypeBase) + std::string(info.slug));
  append_member(out, "title", info.title);
  out += ",\"status\":" + std::to_string(info.http_status);
  const bool hidden = hides_detail(error, info);
  if (!hidden && !error.detail.empty()) append_member(out, "detail", scrub(error.detail));
  append_member(out, "code", info.slug);
  append_member(out, "request_id", request_id);
  if (!hidden && !error.fields.empty()) append_fields(out, error.fields);
  if (info.code != ErrorCode::internal_error)
    for (const ErrorMember& member : error.members) append_own(out, member);
  out += '}';
  return out;
}

}  // namespace ee
