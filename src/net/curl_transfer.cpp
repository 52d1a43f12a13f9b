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
