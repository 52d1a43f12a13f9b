#include "net/curl_transfer.h"

#include <fcntl.h>

#include <algorithm>
#include <mutex>
#include <new>

#include "net/chars.h"
#include "net/http.h"

namespace ee::net {
namespace {

constexpr int kPollMs = 1000;

using UrlHandle = std::unique_ptr<CURLU, CurlDeleter<curl_url_cleanup>>;

}  // namespace

void init_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

int close_on_exec(void*, curl_socket_t descriptor, curlsocktype) {
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return CURL_SOCKOPT_OK;
}

bool is_safe(const std::string& method, const std::vector<HttpHeader>& headers) {
  return is_token(method) && std::ranges::all_of(headers, [](const HttpHeader& header) {
           return is_token(header.name) && (header.value.empty() || all_are(kFieldChar, header.value));
         });
}

HeaderList header_list(const std::vector<HttpHeader>& headers) {
  HeaderList list;
  const auto add = [&](const std::string& line) {
    curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
    if (!longer) throw std::bad_alloc();
    if (!list) list.reset(longer);  // later ones are added behind the first
  };
  bool has_content_type = false;
  for (const HttpHeader& header : headers) {
    add(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
    has_content_type = has_content_type || equal_ignoring_case(header.name, "content-type");
  }
  if (!has_content_type) add("Content-Type:");  // curl would claim a form
  add("Expect:");
  return list;
}

HttpFailure failure_of(CURLcode code) {
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK: return HttpFailure::cancelled;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return HttpFailure::bad_url;
    case CURLE_COULDNT_RESOLVE_HOST: return HttpFailure::resolve;
    case CURLE_COULDNT_CONNECT: return HttpFailure::connect;
    case CURLE_OPERATION_TIMEDOUT: return HttpFailure::timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return HttpFailure::tls;
    default: return HttpFailure::protocol;
  }
}

std::optional<HttpHeader> header_of(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view value = line.substr(colon + 1);
  while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
  return HttpHeader{std::string(line.substr(0, colon)), std::string(trim_blanks(value))};
}

std::optional<UrlOrigin> origin_of(const std::string& text) {
  const UrlHandle url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
    return std::nullopt;
  UrlOrigin origin;
  for (const auto& [part, to] :
       {std::pair(CURLUPART_SCHEME, &UrlOrigin::scheme), std::pair(CURLUPART_HOST, &UrlOrigin::host),
        std::pair(CURLUPART_PORT, &UrlOrigin::port)}) {
    char* value = nullptr;
    if (curl_url_get(url.get(), part, &value, CURLU_DEFAULT_PORT) != CURLUE_OK) return std::nullopt;
    origin.*to = value;
    curl_free(value);
  }
  return origin.scheme == "http" || origin.scheme == "https" ? std::optional(std::move(origin)) : std::nullopt;
}

void set_request_options(CURL* easy, const HttpClientRequest& request, const curl_slist* headers) {
  const auto set = [easy](CURLoption option, auto value) {
    if (curl_easy_setopt(easy, option, value) == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  };
  const auto positive_ms = [](Milliseconds time) { return std::max<long>(static_cast<long>(time.count()), 1); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a cancelled look-up does not hold its caller
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!request.ca_file.empty()) {
    set(CURLOPT_CAINFO, request.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (request.own_connection) {
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_FORBID_REUSE, 1L);
  }
  if (!request.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  set(CURLOPT_CONNECTTIMEOUT_MS, positive_ms(request.connect_timeout));
  set(CURLOPT_TIMEOUT_MS, positive_ms(request.total_timeout));
  set(CURLOPT_SOCKOPTFUNCTION, &close_on_exec);
  set(CURLOPT_USERAGENT, "easyenclave");
  set(CURLOPT_HTTPHEADER, headers);
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET" || !request.body.empty()) {
    set(CURLOPT_POSTFIELDS, request.body.data());  // not copied: outlives the transfer
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

CURLcode perform(CURLM* multi, CURL* easy, const std::stop_token& stop, const KeepGoing& keep_going) {
  if (curl_multi_add_handle(multi, easy) != CURLM_OK) return CURLE_FAILED_INIT;
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  CURLcode result = CURLE_FAILED_INIT;
  for (int running = 1; running > 0;) {
    if (stop.stop_requested()) {
      result = CURLE_ABORTED_BY_CALLBACK;
      break;
    }
    if (curl_multi_perform(multi, &running) != CURLM_OK) break;
    int left = 0;
    if (const CURLMsg* message = curl_multi_info_read(multi, &left); message && message->msg == CURLMSG_DONE) {
      result = message->data.result;
    } else if (keep_going && !keep_going()) {
      result = CURLE_OPERATION_TIMEDOUT;
      break;
    } else if (running > 0 && curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr) != CURLM_OK) {
      break;
    }
  }
  curl_multi_remove_handle(multi, easy);
  return result;
}

}  // namespace ee::net
