#pragma once
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/json.h"
#include "net/http.h"

namespace ee::cp {

/// An `application/json` answer with this body text.
net::Response json_text(int status, std::string body);
template <class T>
net::Response json_answer(int status, const T& value) {
  return json_text(status, json::write(value));
}
/// 204 without a body.
net::Response no_content();

/// The RFC 9457 answer of an error, with Retry-After where the error says one, and WWW-Authenticate on a 401.
net::Response error_answer(const Error& error, std::string_view request_id);

/// The value's answer, or the error's.
template <class T>
net::Response answer_of(const Result<T>& result, int status, std::string_view request_id) {
  return result ? json_answer(status, *result) : error_answer(result.error(), request_id);
}

}  // namespace ee::cp
