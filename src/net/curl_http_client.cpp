#include "net/curl_http_client.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>

#include "common/ip_address.h"
#include "net/chars.h"
#include "net/curl_transfer.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxIdleHandles = 64;
constexpr long kMaxIdleConnectionsPerHandle = 4;
constexpr std::size_t kMaxHeaderBytes = 256UL * 1024;

using UrlHandle = std::unique_ptr<CURLU, CurlDeleter<curl_url_cleanup>>;

/// An easy handle in a multi handle of its own: the latter holds the open connections and can be woken by others.
struct Handle {
  MultiHandle multi{curl_multi_init()};
  EasyHandle easy{curl_easy_init()};
  std::string origin;  ///< of its last request
};

struct Origin {
  std::string scheme, host, port;
};

struct Transfer {
  HttpClientResponse response;
  std::size_t max_bytes = 0;
  std::size_t header_bytes = 0;
  bool too_large = false;
  bool address_refused = false;
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::size_t bytes = size * count;
  if (bytes > transfer.max_bytes - transfer.response.body.size()) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::size_t bytes = size * count;
  transfer.header_bytes += bytes;
  if (transfer.header_bytes > kMaxHeaderBytes) return 0;
  const std::string_view line(data, bytes);
  if (line.starts_with("HTTP/")) {  // an interim answer's fields are not the final one's
    transfer.response.headers.clear();
    return bytes;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  std::string_view value = line.substr(colon + 1);
  while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
  transfer.response.headers.push_back({std::string(line.substr(0, colon)), std::string(trim_blanks(value))});
  return bytes;
}

/// The socket for an address that curl is about to connect to; none when the address is not a public one.
curl_socket_t open_public(void* context, curlsocktype, curl_sockaddr* address) {
  std::array<char, NI_MAXHOST> text{};
  if (::getnameinfo(&address->addr, address->addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0 ||
      !is_public_address(text.data())) {
    static_cast<Transfer*>(context)->address_refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// Scheme, host and port, or nothing when the URL is not one that may be called.
std::optional<Origin> origin_of(const std::string& text) {
  const UrlHandle url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
    return std::nullopt;
  Origin origin;
  for (const auto& [part, to] : {std::pair(CURLUPART_SCHEME, &Origin::scheme), std::pair(CURLUPART_HOST, &Origin::host),
                                 std::pair(CURLUPART_PORT, &Origin::port)}) {
    char* value = nullptr;
    if (curl_url_get(url.get(), part, &value, CURLU_DEFAULT_PORT) != CURLUE_OK) return std::nullopt;
    origin.*to = value;
    curl_free(value);
  }
  return origin.scheme == "http" || origin.scheme == "https" ? std::optional(std::move(origin)) : std::nullopt;
}

void set_options(CURL* easy, const HttpClientRequest& request, const curl_slist* headers, Transfer& transfer) {
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
  if (request.addresses == AddressPolicy::public_only) {
    set(CURLOPT_OPENSOCKETFUNCTION, &open_public);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&transfer));
    set(CURLOPT_FRESH_CONNECT, 1L);  // an open connection was perhaps made without the look at its address
    set(CURLOPT_FORBID_REUSE, 1L);
  }
  set(CURLOPT_USERAGENT, "easyenclave");
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET" || !request.body.empty()) {
    set(CURLOPT_POSTFIELDS, request.body.data());  // not copied: outlives the transfer
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

HeaderList address_list(const HostLookup& lookup, const Origin& origin) {
  // What is an address already is not looked up.
  if (!lookup || origin.host.starts_with('[') || (origin.host.back() >= '0' && origin.host.back() <= '9')) return {};
  std::string line = origin.host + ':' + origin.port + ':';
  for (const std::string& address : lookup(origin.host)) line += (line.ends_with(':') ? "" : ",") + address;
  return line.ends_with(':') ? HeaderList() : HeaderList(curl_slist_append(nullptr, line.c_str()));
}

}  // namespace

struct CurlHttpClient::Pool {
  /// One that has talked to `origin` before, if any: its connection may still be open.
  Handle take(const std::string& origin) {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto found = std::ranges::find_if(idle, [&](const Handle& handle) { return handle.origin == origin; });
        if (found == idle.end() && idle.size() < kMaxIdleHandles) return fresh();
        if (found == idle.end()) found = idle.begin();
        Handle handle = std::move(*found);
        idle.erase(found);
        return handle;
      }
    }
    return fresh();
  }
  void give_back(Handle handle) {
    const std::lock_guard lock(mutex);
    if (idle.size() < kMaxIdleHandles) idle.push_back(std::move(handle));
  }
  static Handle fresh() {
    Handle handle;
    if (!handle.multi || !handle.easy) throw std::bad_alloc();
    curl_multi_setopt(handle.multi.get(), CURLMOPT_MAXCONNECTS, kMaxIdleConnectionsPerHandle);
    return handle;
  }

  std::mutex mutex;
  std::vector<Handle> idle;
};

CurlHttpClient::CurlHttpClient(HostLookup lookup) : lookup_(std::move(lookup)), pool_(std::make_unique<Pool>()) {
  init_curl();
}

CurlHttpClient::~CurlHttpClient() = default;

std::expected<HttpClientResponse, HttpFailure> CurlHttpClient::send(const HttpClientRequest& request) {
  if (request.stop.stop_requested()) return std::unexpected(HttpFailure::cancelled);
  if (!is_safe(request.method, request.headers)) return std::unexpected(HttpFailure::protocol);
  const auto origin = origin_of(request.url);
  if (!origin) return std::unexpected(HttpFailure::bad_url);

  const std::string key = origin->scheme + ' ' + origin->host + ' ' + origin->port + ' ' + request.unix_socket;
  Handle handle = pool_->take(key);
  handle.origin = key;
  const HeaderList headers = header_list(request.headers);
  const HeaderList addresses = address_list(lookup_, *origin);
  Transfer transfer{.response = {}, .max_bytes = request.max_response_bytes};
  set_options(handle.easy.get(), request, headers.get(), transfer);
  if (addresses) curl_easy_setopt(handle.easy.get(), CURLOPT_RESOLVE, addresses.get());
  const CURLcode code = perform(handle.multi.get(), handle.easy.get(), request.stop);
  long status = 0;
  curl_easy_getinfo(handle.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_reset(handle.easy.get());  // keeps connections, forgets pointers into this frame
  pool_->give_back(std::move(handle));

  if (transfer.address_refused && code == CURLE_COULDNT_CONNECT) return std::unexpected(HttpFailure::address_refused);
  if (transfer.too_large && code != CURLE_ABORTED_BY_CALLBACK) return std::unexpected(HttpFailure::answer_too_large);
  if (transfer.address_refused && code == CURLE_COULDNT_CONNECT) return std::unexpected(HttpFailure::address_refused);
  if (code != CURLE_OK) return std::unexpected(failure_of(code));
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

}  // namespace ee::net
