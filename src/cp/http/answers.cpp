#include "cp/http/answers.h"

#include "common/problem.h"

namespace ee::cp {

net::Response json_text(int status, std::string body) {
  net::Response response{.status = status};
  response.headers.push_back({"Content-Type", "application/json"});
  response.body = std::move(body);
  return response;
}

net::Response no_content() { return net::Response{.status = 204}; }

net::Response error_answer(const Error& error, std::string_view request_id) {
  net::Response response{.status = problem_status(error)};
  response.headers.push_back({"Content-Type", std::string(kProblemContentType)});
  if (error.retry_after) response.headers.push_back({"Retry-After", std::to_string(error.retry_after->count())});
  if (response.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"easyenclave\""});
  response.body = problem_json(error, request_id);
  response.code = slug(error.code);
  return response;
}

}  // namespace ee::cp
