#include "cp/http/idempotent.h"

#include "cp/http/answers.h"

namespace ee::cp {

Result<std::optional<IdempotentRequest>> idempotency_of(const Call& call, const std::optional<AccountId>& acted_for) {
  const net::Request& request = call.request;
  const std::size_t count = request.header_count("Idempotency-Key");
  if (count == 0) return std::optional<IdempotentRequest>{};
  if (count > 1) return fail(ErrorCode::invalid_idempotency_key, "sent more than once");
  auto made =
      idempotent_request(acted_for, request.method, request.path, *request.header("Idempotency-Key"), request.body);
  if (!made) return std::unexpected(std::move(made.error()));
  return std::optional(std::move(*made));
}

Result<IdempotentRequest> required_idempotency_of(const Call& call, const std::optional<AccountId>& acted_for) {
  auto made = idempotency_of(call, acted_for);
  if (!made) return std::unexpected(std::move(made.error()));
  if (!*made) return fail(ErrorCode::idempotency_key_required);
  return std::move(**made);
}

net::Response idempotent_answer(const Result<IdempotentAnswer>& answer, std::string_view request_id) {
  if (!answer) return error_answer(answer.error(), request_id);
  net::Response response = json_text(answer->status, answer->body);
  if (answer->replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
  return response;
}

}  // namespace ee::cp
