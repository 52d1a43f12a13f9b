#include "net/curl_http_client.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>

#include "common/ip_address.h"
#include "net/curl_transfer.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxIdleHandles = 64;
constexpr long kMaxIdleConnectionsPerHandle = 4;

/// An easy handle in a multi handle of its own: the latter holds the open connections and can be woken by others.
struct Handle {
  MultiHandle multi{curl_multi_init()};
  EasyHandle easy{curl_easy_init()};
  std::string origin;  ///< of its last request
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
  if (auto header = header_of(line)) transfer.response.headers.push_back(std::move(*header));
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

void set_options(CURL* easy, const HttpClientRequest& request, const curl_slist* headers, Transfer& transfer) {
  const auto set = [easy](CURLoption option, auto value) {
    if (curl_easy_setopt(easy, option, value) == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  };
  set_request_options(easy, request, headers);
  if (request.addresses == AddressPolicy::public_only) {
    set(CURLOPT_OPENSOCKETFUNCTION, &open_public);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&transfer));
    set(CURLOPT_FRESH_CONNECT, 1L);  // an open connection was perhaps made without the look at its address
    set(CURLOPT_FORBID_REUSE, 1L);
  }
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
}

HeaderList address_list(const HostLookup& lookup, const UrlOrigin& origin) {
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

  transfer.response.status = static_cast<int>(status);
  if (code != CURLE_OK && status != 0 && request.broken_off != nullptr)
    *request.broken_off = std::move(transfer.response);
  if (transfer.too_large && code != CURLE_ABORTED_BY_CALLBACK) return std::unexpected(HttpFailure::answer_too_large);
  if (transfer.address_refused && code == CURLE_COULDNT_CONNECT) return std::unexpected(HttpFailure::address_refused);
  if (code != CURLE_OK) return std::unexpected(failure_of(code));
  return std::move(transfer.response);
}

}  // namespace ee::net
