#pragma once
// What the two halves of the client share: cloudflare_client.cpp and cloudflare_dns.cpp.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "common/url.h"
#include "cp/integration/cloudflare/cloudflare_client.h"
#include "cp/integration/cloudflare/envelope.h"

namespace ee::cp::cloudflare {

constexpr std::size_t kPerPage = 100;

/// One call of the API: what to send and what it means.
struct CloudflareClient::Call {
  std::string_view op;  // for metrics: from a closed set
  std::string method;
  std::string path;  // with the query, below api_url
  Subject subject;
  bool deletion = false;
  std::string body = {};
};

inline CloudflareError malformed(std::string_view what) {
  return {.failure = Failure::transient, .http_status = 200, .detail = std::string(what)};
}

/// Whether a listing ends with this page of `count` items.
inline bool is_last_page(const Envelope& envelope, std::size_t page, std::size_t count) {
  return envelope.total_pages ? static_cast<std::int64_t>(page) >= *envelope.total_pages : count < kPerPage;
}

}  // namespace ee::cp::cloudflare
