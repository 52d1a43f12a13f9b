#include "net/unix_http_client.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "net/curl_transfer.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxHeadBytes = 64UL * 1024;

struct Stream {
  const UnixHttpHandlers& handlers;
  CURL* easy = nullptr;
  std::size_t head_bytes = 0;
  bool told_status = false;
  bool refused = false;
  std::chrono::steady_clock::time_point heard_at = std::chrono::steady_clock::now();

  int status() const {
    long value = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &value);
    return static_cast<int>(value);
  }
  void tell_status() {
    if (told_status) return;
    told_status = true;
    if (handlers.on_status) handlers.on_status(status());
  }
};

std::size_t on_head(char* data, std::size_t size, std::size_t count, void* context) {
  auto& stream = *static_cast<Stream*>(context);
  const std::string_view line(data, size * count);
  stream.heard_at = std::chrono::steady_clock::now();
  stream.head_bytes += line.size();
  if (stream.head_bytes > kMaxHeadBytes) {
    stream.refused = true;
    return 0;
  }
  if (line == "\r\n" && stream.status() >= 200) stream.tell_status();
  return line.size();
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context) {
  auto& stream = *static_cast<Stream*>(context);
  stream.heard_at = std::chrono::steady_clock::now();
  stream.tell_status();
  const std::string_view bytes(data, size * count);
  if (stream.handlers.on_body && !stream.handlers.on_body(stream.status(), bytes)) {
    stream.refused = true;
    return 0;
  }
  return bytes.size();
}

void set_options(CURL* easy, const UnixHttpRequest& request, const std::string& url, const curl_slist* headers,
                 Stream& stream) {
  const auto set = [easy](CURLoption option, auto value) {
    if (curl_easy_setopt(easy, option, value) == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  };
  const auto positive_ms = [](Milliseconds time) { return std::max<long>(static_cast<long>(time.count()), 1); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_UNIX_SOCKET_PATH, request.socket.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, positive_ms(request.connect_timeout));
  set(CURLOPT_TIMEOUT_MS, request.total_timeout ? positive_ms(*request.total_timeout) : 0L);
  set(CURLOPT_SOCKOPTFUNCTION, &close_on_exec);
  set(CURLOPT_USERAGENT, "easyenclave");
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_HEADERFUNCTION, &on_head);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&stream));
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&stream));
  if (request.method != "GET" || !request.body.empty()) {
    set(CURLOPT_POSTFIELDS, request.body.data());  // not copied: outlives the transfer
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

}  // namespace

std::expected<int, HttpFailure> unix_http(const UnixHttpRequest& request, const UnixHttpHandlers& handlers) {
  init_curl();
  if (request.stop.stop_requested()) return std::unexpected(HttpFailure::cancelled);
  if (!is_safe(request.method, request.headers)) return std::unexpected(HttpFailure::protocol);
  if (!request.target.starts_with('/')) return std::unexpected(HttpFailure::bad_url);
  const MultiHandle multi(curl_multi_init());
  const EasyHandle easy(curl_easy_init());
  if (!multi || !easy) throw std::bad_alloc();
  Stream stream{.handlers = handlers, .easy = easy.get()};
  const HeaderList headers = header_list(request.headers);
  set_options(easy.get(), request, "http://engine" + request.target, headers.get(), stream);
  const KeepGoing keep_going = [&] {
    return !request.idle_timeout || std::chrono::steady_clock::now() - stream.heard_at < *request.idle_timeout;
  };
  const CURLcode code = perform(multi.get(), easy.get(), request.stop, keep_going);
  if (code == CURLE_OK) {
    stream.tell_status();
    return stream.status();
  }
  if (stream.refused) return std::unexpected(HttpFailure::answer_too_large);
  return std::unexpected(failure_of(code));
}

}  // namespace ee::net
