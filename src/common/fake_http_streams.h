#pragma once
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/http_streams.h"

namespace ee {

/// Streams that a test speaks for. Handlers run on the test's thread.
class FakeHttpStreams final : public HttpStreams {
 public:
  struct Call {
    HttpClientRequest request;
    Handlers handlers;
    bool ended = false;      ///< told `on_end`
    bool abandoned = false;  ///< its Stream was destroyed
  };

  std::unique_ptr<Stream> open(HttpClientRequest request, Milliseconds, Handlers handlers) override {
    const std::lock_guard lock(mutex_);
    if (full_) return nullptr;
    calls_.push_back(std::make_shared<Call>(Call{.request = std::move(request), .handlers = std::move(handlers)}));
    changed_.notify_all();
    return std::make_unique<Opened>(*this, calls_.back());
  }

  /// The call of that number, waiting for it; null when it does not come.
  std::shared_ptr<Call> call(std::size_t index, Milliseconds patience = Milliseconds(5000)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return calls_.size() > index; });
    return calls_.size() > index ? calls_[index] : nullptr;
  }
  /// Whether the stream of that call was given up, waiting for it at most five seconds.
  bool abandoned(const std::shared_ptr<Call>& call) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return call->abandoned; });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  void set_full(bool full) {
    const std::lock_guard lock(mutex_);
    full_ = full;
  }

  /// False when the handler ended the stream; then it was told so.
  static bool head(Call& call, int status, std::vector<HttpHeader> headers) {
    if (call.handlers.on_head({.status = status, .headers = std::move(headers)})) return true;
    end(call, HttpFailure::cancelled);
    return false;
  }
  static bool bytes(Call& call, std::string_view text) {
    if (call.handlers.on_bytes(text)) return true;
    end(call, HttpFailure::cancelled);
    return false;
  }
  static void end(Call& call, std::optional<HttpFailure> failure = {}) {
    call.ended = true;
    call.handlers.on_end(failure);
  }

 private:
  class Opened final : public Stream {
   public:
    Opened(FakeHttpStreams& streams, std::shared_ptr<Call> call) : streams_(streams), call_(std::move(call)) {}
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() override {
      const std::lock_guard lock(streams_.mutex_);
      call_->abandoned = true;
      streams_.changed_.notify_all();
    }

   private:
    FakeHttpStreams& streams_;
    std::shared_ptr<Call> call_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Call>> calls_;
  bool full_ = false;
};

}  // namespace ee
