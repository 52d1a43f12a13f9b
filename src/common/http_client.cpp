#include "common/http_client.h"

#include <algorithm>
#include <cstdlib>

namespace ee {

std::optional<std::string_view> HttpClientResponse::header(std::string_view name) const {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (const HttpHeader& header : headers)
    if (std::ranges::equal(header.name, name, {}, lower, lower)) return header.value;
  return std::nullopt;
}

std::string_view to_string(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::bad_url: return "bad_url";
    case HttpFailure::resolve: return "resolve";
    case HttpFailure::connect: return "connect";
    case HttpFailure::tls: return "tls";
    case HttpFailure::timeout: return "timeout";
    case HttpFailure::answer_too_large: return "answer_too_large";
    case HttpFailure::cancelled: return "cancelled";
    case HttpFailure::protocol: return "protocol";
    case HttpFailure::address_refused: return "address_refused";
  }
  std::abort();
}

}  // namespace ee
