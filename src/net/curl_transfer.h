#pragma once
// What the clients on libcurl share. Only .cpp files of this folder may include this.
#include <curl/curl.h>

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_client.h"

namespace ee::net {

template <auto Free>
struct CurlDeleter {
  void operator()(auto* pointer) const { Free(pointer); }
};
using MultiHandle = std::unique_ptr<CURLM, CurlDeleter<curl_multi_cleanup>>;
using EasyHandle = std::unique_ptr<CURL, CurlDeleter<curl_easy_cleanup>>;
using HeaderList = std::unique_ptr<curl_slist, CurlDeleter<curl_slist_free_all>>;

/// Before the first handle; any number of times, from any thread.
void init_curl();
/// For CURLOPT_SOCKOPTFUNCTION: programs that we start must not inherit the socket.
int close_on_exec(void* context, curl_socket_t descriptor, curlsocktype purpose);
/// Whether method and headers have only characters that may stand there.
bool is_safe(const std::string& method, const std::vector<HttpHeader>& headers);
HeaderList header_list(const std::vector<HttpHeader>& headers);
HttpFailure failure_of(CURLcode code);

/// Of one answer's fields together.
inline constexpr std::size_t kMaxHeaderBytes = 256UL * 1024;
/// A field of an answer, from its line; nothing when the line is none.
std::optional<HttpHeader> header_of(std::string_view line);

struct UrlOrigin {
  std::string scheme, host, port;
};
/// Scheme, host and port, or nothing when the URL is not one that may be called.
std::optional<UrlOrigin> origin_of(const std::string& text);

/// All that a request says, and the rules of every call: no redirects, no proxies, TLS verified. `request` and
/// `headers` outlive the transfer. What becomes of the answer is the caller's.
void set_request_options(CURL* easy, const HttpClientRequest& request, const curl_slist* headers);

/// Called about every second, and whenever something arrived; false ends the transfer with CURLE_OPERATION_TIMEDOUT.
using KeepGoing = std::function<bool()>;

/// Runs the transfer of `easy` until it is done or `stop` is requested (CURLE_ABORTED_BY_CALLBACK). `keep_going` may be
/// empty.
CURLcode perform(CURLM* multi, CURL* easy, const std::stop_token& stop, const KeepGoing& keep_going = {});

}  // namespace ee::net
