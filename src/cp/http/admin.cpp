#include "cp/http/admin.h"

#include <charconv>

namespace ee::cp {

Actor actor_of(const Call& call) {
  return {.name = call.principal.actor(),
          .request_id = call.request.request_id,
          .client_address = call.request.client_address,
          .is_admin = call.principal.is_admin};
}

Result<std::optional<std::int64_t>> if_match_of(const net::Request& request) {
  const auto field = request.header("If-Match");
  if (!field || *field == "*") return std::optional<std::int64_t>{};
  std::string_view text = *field;
  const auto refused = [] {
    return fail(
        Error{.code = ErrorCode::invalid_request,
              .fields = {{.field = "If-Match", .code = "bad_format", .detail = "a version in quotes, such as \"3\""}}});
  };
  if (text.size() < 3 || text.front() != '"' || text.back() != '"') return refused();
  text = text.substr(1, text.size() - 2);
  std::int64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 0) return refused();
  return std::optional(version);
}

}  // namespace ee::cp
