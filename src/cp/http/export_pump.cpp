#include "cp/http/export_pump.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/log.h"
#include "net/stream.h"

namespace ee::cp {
namespace {

/// One body. Belongs to one thread of the pump, or waits in its queue or for its client.
struct Export {
  net::ResponseStream stream = net::ResponseStream();
  ExportPump::Next next = {};
  std::string piece = {};  ///< made and not yet taken
};
using ExportPtr = std::shared_ptr<Export>;

}  // namespace

/// Outlives the pump while a client may still tell that it has room.
class ExportPump::State : public std::enable_shared_from_this<State> {
 public:
  void start() {
    for (std::size_t i = 0; i < kThreads; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
  void stop() {
    for (std::jthread& thread : threads_) thread.request_stop();
    threads_.clear();
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    ready_.clear();
  }

  bool admit() {
    const std::lock_guard lock(mutex_);
    if (stopped_ || under_way_ >= kMaxExports) return false;
    ++under_way_;
    return true;
  }
  void push(ExportPtr made) {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
      ready_.push_back(std::move(made));
    }
    changed_.notify_one();
  }

 private:
  void run(const std::stop_token& stop) {
    for (;;) {
      ExportPtr turn;
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait(lock, stop, [this] { return !ready_.empty(); })) return;
        turn = std::move(ready_.front());
        ready_.pop_front();
      }
      advance(std::move(turn));
    }
  }

  /// One piece, so that all take turns.
  void advance(ExportPtr turn) {
    if (turn->piece.empty()) {
      auto made = turn->next();
      if (!made) {
        log::error("http", "an export ended early", {{"error", made.error().code}, {"detail", made.error().detail}});
        turn->stream.abort();
        return end();
      }
      if (made->empty()) {
        turn->stream.finish();
        return end();
      }
      turn->piece = std::move(*made);
    }
    switch (turn->stream.offer(turn->piece)) {
      case net::ResponseStream::Offer::taken:
        turn->piece.clear();
        push(std::move(turn));
        return;
      case net::ResponseStream::Offer::full: {
        net::ResponseStream& stream = turn->stream;
        stream.on_room([weak = weak_from_this(), turn = std::move(turn)]() mutable {
          if (const auto state = weak.lock()) state->push(std::move(turn));
        });
        return;
      }
      case net::ResponseStream::Offer::closed: return end();
    }
  }
  void end() {
    const std::lock_guard lock(mutex_);
    --under_way_;
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<ExportPtr> ready_;
  std::size_t under_way_ = 0;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

ExportPump::ExportPump() : state_(std::make_shared<State>()) { state_->start(); }
ExportPump::~ExportPump() { state_->stop(); }

Result<net::Response> ExportPump::stream(net::Response head, std::string first, Next next) {
  if (!state_->admit())
    return fail(Error{.code = ErrorCode::overloaded, .detail = "too many exports at once", .retry_after = Seconds(5)});
  auto made = std::make_shared<Export>();
  made->next = std::move(next);
  made->piece = std::move(first);
  head.body.clear();
  head.stream = made->stream.body();
  state_->push(std::move(made));
  return head;
}

}  // namespace ee::cp
