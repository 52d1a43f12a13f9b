#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/http_client.h"

namespace ee::net {

/// Addresses of a name, in place of the system's resolver; empty: the resolver is asked. Literal addresses are not
/// asked about.
using HostLookup = std::function<std::vector<std::string>(const std::string& host)>;

/// The real HttpClient. Connections are kept open and used again, by whichever thread comes next. http and https only;
/// no redirects, no proxies from the environment, TLS 1.2 or later with the peer verified, no signals. A stop request
/// ends a transfer at once, also while it waits. Thread-safe.
class CurlHttpClient final : public HttpClient {
 public:
  CurlHttpClient() : CurlHttpClient(HostLookup()) {}
  /// Tests: names that lead to their own servers. Asked before each request, by its thread.
  explicit CurlHttpClient(HostLookup lookup);
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  /// A header or method that could split the request is HttpFailure::protocol, a URL with a user part bad_url; neither
  /// is sent.
  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override;

 private:
  struct Pool;
  HostLookup lookup_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace ee::net
