#include <condition_variable>
#include <mutex>
#include <stop_token>

#include "common/require.h"
#include "net/io_loop.h"
#include "net/response_pump.h"

namespace ee::net {
namespace {

constexpr std::size_t kUnsentBytes = 64UL * 1024;  // beyond, what is queued stays so

class Pump;

}  // namespace

/// What both ends share. `wake` is how the producer reaches the io thread; set while the exchange lasts.
struct ResponseStream::Core {
  explicit Core(std::size_t limit) : limit_bytes(limit) {}

  void close() {
    std::move_only_function<void()> callback;
    {
      const std::lock_guard lock(mutex);
      closed = true;
      wake = nullptr;
      queued = {};
      callback = std::exchange(room_callback, nullptr);
    }
    room.notify_all();
    stop.request_stop();
    if (callback) callback();
  }
  /// Under the lock.
  bool has_room(std::size_t bytes) const { return queued.empty() || queued.size() + bytes <= limit_bytes; }
  void add(std::string_view bytes) {
    queued += bytes;
    if (wake) wake();
  }
  void end(bool whole) {
    const std::lock_guard lock(mutex);
    if (ended) return;
    ended = true;
    cut = !whole;
    if (wake) wake();
  }

  const std::size_t limit_bytes;
  std::mutex mutex;
  std::condition_variable room;
  std::string queued;
  bool ended = false;
  bool cut = false;
  bool closed = false;
  bool body_taken = false;
  std::function<void()> wake;
  std::move_only_function<void()> room_callback;
  std::stop_source stop;
};

class StreamBody {
 public:
  explicit StreamBody(std::shared_ptr<ResponseStream::Core> core) : core_(std::move(core)) {}
  ~StreamBody() { core_->close(); }
  StreamBody(const StreamBody&) = delete;
  StreamBody& operator=(const StreamBody&) = delete;
  ResponseStream::Core& core() { return *core_; }

 private:
  std::shared_ptr<ResponseStream::Core> core_;
};

namespace {

class Pump final : public StreamHandler, public std::enable_shared_from_this<Pump> {
 public:
  Pump(std::shared_ptr<StreamBody> body, const RouteInfo& route) : body_(std::move(body)), route_(route) {}

  const RouteInfo& route() const override { return route_; }
  void on_start(Exchange& exchange, const RequestHead&) override {
    exchange_ = &exchange;
    IoLoop& loop = exchange.loop();
    {
      ResponseStream::Core& core = body_->core();
      const std::lock_guard lock(core.mutex);
      // Called under the lock, and cleared by `close` before the exchange, and so the loop, can go.
      core.wake = [this, &loop] {
        if (std::exchange(posted_, true)) return;
        loop.post([self = shared_from_this()] { self->move(); });
      };
    }
    move();
  }
  void on_body(std::string_view, bool, std::string_view) override {}
  void on_drained() override { move(); }
  void on_gone() override {
    exchange_ = nullptr;
    body_.reset();
  }
  void on_tick(SteadyTime) override {}
  void on_drain() override { body_->core().stop.request_stop(); }

 private:
  void move() {
    if (!exchange_) return;
    std::string bytes;
    bool ended = false;
    bool cut = false;
    std::move_only_function<void()> callback;
    const std::shared_ptr<StreamBody> body = body_;
    {
      ResponseStream::Core& core = body->core();
      const std::lock_guard lock(core.mutex);
      posted_ = false;
      if (exchange_->unsent() < kUnsentBytes) {
        bytes.swap(core.queued);
        callback = std::exchange(core.room_callback, nullptr);
      }
      ended = core.ended && core.queued.empty();
      cut = core.cut;
    }
    body->core().room.notify_all();
    if (!bytes.empty() || !started_) exchange_->write(bytes);  // the head leaves although there is no event yet
    started_ = true;
    if (callback) callback();
    if (!ended) return;
    Exchange& exchange = *std::exchange(exchange_, nullptr);
    body_.reset();
    if (cut)
      exchange.abort();
    else
      exchange.finish();
  }

  Exchange* exchange_ = nullptr;
  std::shared_ptr<StreamBody> body_;
  const RouteInfo& route_;
  bool posted_ = false;  ///< under the core's lock
  bool started_ = false;
};

}  // namespace

std::shared_ptr<StreamHandler> make_response_pump(const std::shared_ptr<StreamBody>& body, const RouteInfo& route) {
  return std::make_shared<Pump>(body, route);
}

ResponseStream::ResponseStream(std::size_t limit_bytes) : core_(std::make_shared<Core>(limit_bytes)) {}
ResponseStream::ResponseStream(ResponseStream&&) noexcept = default;
ResponseStream& ResponseStream::operator=(ResponseStream&& other) noexcept {
  if (core_ && core_ != other.core_) core_->end(false);
  core_ = std::move(other.core_);
  return *this;
}
ResponseStream::~ResponseStream() {
  if (core_) core_->end(false);
}

std::shared_ptr<StreamBody> ResponseStream::body() {
  require(!std::exchange(core_->body_taken, true));
  return std::make_shared<StreamBody>(core_);
}

ResponseStream::Offer ResponseStream::offer(std::string_view bytes) {
  const std::lock_guard lock(core_->mutex);
  if (core_->closed || core_->ended) return Offer::closed;
  if (!core_->has_room(bytes.size())) return Offer::full;
  core_->add(bytes);
  return Offer::taken;
}

bool ResponseStream::write(std::string_view bytes) {
  std::unique_lock lock(core_->mutex);
  core_->room.wait(lock, [&] { return core_->closed || core_->ended || core_->has_room(bytes.size()); });
  if (core_->closed || core_->ended) return false;
  core_->add(bytes);
  return true;
}

void ResponseStream::finish() { core_->end(true); }
void ResponseStream::abort() { core_->end(false); }

bool ResponseStream::closed() const {
  const std::lock_guard lock(core_->mutex);
  return core_->closed;
}

std::stop_token ResponseStream::stop_token() const { return core_->stop.get_token(); }

void ResponseStream::on_room(std::move_only_function<void()> callback) {
  {
    const std::lock_guard lock(core_->mutex);
    if (!core_->closed && !core_->queued.empty()) {
      core_->room_callback = std::move(callback);
      return;
    }
  }
  callback();
}

}  // namespace ee::net
