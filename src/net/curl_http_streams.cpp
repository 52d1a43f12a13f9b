#include "net/curl_http_streams.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "net/curl_transfer.h"

namespace ee::net {
namespace {

constexpr int kPollMs = 500;

/// Time-outs of sockets are the kernel's and curl's, hence the system's own clock.
std::chrono::steady_clock::time_point now() { return std::chrono::steady_clock::now(); }

/// One call. All but `cancelled` belongs to the thread.
struct Call {
  HttpClientRequest request;
  HttpStreams::Handlers handlers;
  std::chrono::steady_clock::time_point head_deadline;
  std::atomic<bool> cancelled = false;
  EasyHandle easy;
  HeaderList headers;
  HttpClientResponse head = {};
  std::size_t head_bytes = 0;
  bool head_given = false;
  bool refused = false;  // a handler said false
};

/// False: the handler does not want it.
bool give_head(Call& call) {
  if (std::exchange(call.head_given, true)) return true;
  long status = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  call.head.status = static_cast<int>(status);
  call.refused = call.cancelled || (call.handlers.on_head && !call.handlers.on_head(call.head));
  return !call.refused;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context) {
  auto& call = *static_cast<Call*>(context);
  const std::size_t bytes = size * count;
  if (call.head_given) return bytes;  // trailers
  call.head_bytes += bytes;
  if (call.head_bytes > kMaxHeaderBytes) return 0;
  const std::string_view line(data, bytes);
  if (line.starts_with("HTTP/")) {
    call.head.headers.clear();
  } else if (line == "\r\n" || line == "\n") {
    long status = 0;
    curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && !give_head(call)) return 0;
  } else if (auto header = header_of(line)) {
    call.head.headers.push_back(std::move(*header));
  }
  return bytes;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context) {
  auto& call = *static_cast<Call*>(context);
  const std::size_t bytes = size * count;
  if (call.cancelled) return 0;
  if (call.handlers.on_bytes && !call.handlers.on_bytes({data, bytes})) {
    call.refused = true;
    return 0;
  }
  return bytes;
}

void prepare(Call& call) {
  call.easy.reset(curl_easy_init());
  if (!call.easy) throw std::bad_alloc();
  call.headers = header_list(call.request.headers);
  CURL* const easy = call.easy.get();
  set_request_options(easy, call.request, call.headers.get());
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE, static_cast<curl_off_t>(CurlHttpStreams::kMaxBytesPerSecond));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, static_cast<void*>(&call));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, static_cast<void*>(&call));
}

}  // namespace

struct CurlHttpStreams::Core {
  Core() : multi(curl_multi_init()) {
    if (!multi) throw std::bad_alloc();
  }

  void run() {
    while (!stopping) {
      begin_new();
      drop_ended();
      int left = 0;
      if (curl_multi_perform(multi.get(), &left) != CURLM_OK) break;
      while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode code = message->data.result;
        finish(message->easy_handle, code == CURLE_OK ? std::nullopt : std::optional(failure_of(code)));
      }
      curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
    }
    for (auto& [easy, call] : running) curl_multi_remove_handle(multi.get(), easy);
    running.clear();
  }

  void begin_new() {
    std::vector<std::shared_ptr<Call>> calls;
    {
      const std::lock_guard lock(mutex);
      calls.swap(added);
    }
    for (auto& call : calls) {
      if (call->cancelled) {
        forget();
        continue;
      }
      const bool safe = is_safe(call->request.method, call->request.headers);
      std::optional<HttpFailure> failure;
      if (!safe) failure = HttpFailure::protocol;
      if (!origin_of(call->request.url)) failure = HttpFailure::bad_url;
      if (call->request.addresses != AddressPolicy::any) failure = HttpFailure::address_refused;
      if (failure) {
        forget();
        if (call->handlers.on_end) call->handlers.on_end(failure);
        continue;
      }
      prepare(*call);
      CURL* const easy = call->easy.get();
      running.emplace(easy, std::move(call));
      if (curl_multi_add_handle(multi.get(), easy) != CURLM_OK) finish(easy, HttpFailure::protocol);
    }
  }

  /// What nobody wants any more, and what has not answered in time.
  void drop_ended() {
    std::vector<std::pair<CURL*, HttpFailure>> over;
    for (const auto& [easy, call] : running) {
      if (call->cancelled)
        over.emplace_back(easy, HttpFailure::cancelled);
      else if (!call->head_given && now() >= call->head_deadline)
        over.emplace_back(easy, HttpFailure::timeout);
    }
    for (const auto& [easy, failure] : over) finish(easy, failure);
  }

  void finish(CURL* easy, std::optional<HttpFailure> failure) {
    const auto found = running.find(easy);
    if (found == running.end()) return;
    const std::shared_ptr<Call> call = std::move(found->second);
    running.erase(found);
    curl_multi_remove_handle(multi.get(), easy);
    forget();
    if (call->cancelled) return;
    if (!failure && !call->head_given && !give_head(*call)) failure = HttpFailure::cancelled;
    if (call->refused) failure = HttpFailure::cancelled;
    if (call->handlers.on_end) call->handlers.on_end(failure);
  }

  void forget() { --open; }
  void wake() { curl_multi_wakeup(multi.get()); }

  MultiHandle multi;
  std::mutex mutex;
  std::vector<std::shared_ptr<Call>> added;
  std::map<CURL*, std::shared_ptr<Call>> running;  // the thread's
  std::atomic<std::size_t> open = 0;
  std::atomic<bool> stopping = false;
  std::thread thread;
};

namespace {

template <class Core>
class OpenStream final : public HttpStreams::Stream {
 public:
  OpenStream(std::shared_ptr<Core> core, std::shared_ptr<Call> call) : core_(std::move(core)), call_(std::move(call)) {}
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;
  ~OpenStream() override {
    call_->cancelled = true;
    core_->wake();
  }

 private:
  std::shared_ptr<Core> core_;
  std::shared_ptr<Call> call_;
};

}  // namespace

CurlHttpStreams::CurlHttpStreams() {
  init_curl();
  core_ = std::make_shared<Core>();
  core_->thread = std::thread([core = core_.get()] { core->run(); });
}

CurlHttpStreams::~CurlHttpStreams() {
  core_->stopping = true;
  core_->wake();
  core_->thread.join();
}

std::unique_ptr<HttpStreams::Stream> CurlHttpStreams::open(HttpClientRequest request, Milliseconds head_timeout,
                                                           Handlers handlers) {
  if (core_->open.fetch_add(1) >= kMaxStreams) {
    --core_->open;
    return nullptr;
  }
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->handlers = std::move(handlers);
  call->head_deadline = now() + head_timeout;
  {
    const std::lock_guard lock(core_->mutex);
    core_->added.push_back(call);
  }
  core_->wake();
  return std::make_unique<OpenStream<Core>>(core_, std::move(call));
}

}  // namespace ee::net
