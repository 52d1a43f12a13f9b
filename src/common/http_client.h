#pragma once
#include <expected>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/time.h"

namespace ee {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// Which addresses a call may connect to. The address that is looked at is the one that is connected to, so a name that
/// changes its address between two look-ups gains nothing.
enum class AddressPolicy {
  any,
  public_only,  ///< another address is HttpFailure::address_refused; see is_public_address
};

struct HttpClientResponse;

/// One outbound call. Redirects are never followed; TLS is verified against the system roots, or `ca_file`.
struct HttpClientRequest {
  std::string method = "GET";
  std::string url;
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  Milliseconds connect_timeout{5000};
  Milliseconds total_timeout{15000};
  std::size_t max_response_bytes = 1024UL * 1024;  ///< a longer answer is `answer_too_large`
  std::string ca_file = {};
  std::string unix_socket = {};
  AddressPolicy addresses = AddressPolicy::any;
  bool own_connection = false;  ///< never a kept one: a request on it that gets no answer is not sent again
  std::stop_token stop = {};    ///< a request aborts the transfer
  /// Filled when the call fails after the head of an answer came: status, fields and what there was of the body. The
  /// caller's; null: nobody wants it.
  HttpClientResponse* broken_off = nullptr;
};

struct HttpClientResponse {
  int status = 0;
  std::vector<HttpHeader> headers = {};
  std::string body = {};

  /// The first header of that name (any case), or nothing.
  std::optional<std::string_view> header(std::string_view name) const;
};

/// Why no answer came. An HTTP status, whatever it is, is an answer.
enum class HttpFailure {
  bad_url,
  resolve,
  connect,
  tls,
  timeout,
  answer_too_large,
  cancelled,
  protocol,
  address_refused
};

std::string_view to_string(HttpFailure failure);

/// Where outside services are reached. Thread-safe; calls block. Implementation: net/curl_http_client.h; the fake for
/// tests: common/fake_http_client.h.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) = 0;
};

}  // namespace ee
