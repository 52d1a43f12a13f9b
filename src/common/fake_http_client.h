#pragma once
#include <functional>
#include <mutex>
#include <vector>

#include "common/http_client.h"

namespace ee {

/// Answers by a function and records every call. Thread-safe.
class FakeHttpClient final : public HttpClient {
 public:
  using Answer = std::function<std::expected<HttpClientResponse, HttpFailure>(const HttpClientRequest&)>;
  explicit FakeHttpClient(Answer answer) : answer_(std::move(answer)) {}

  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override {
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(request);
      answer = answer_;
    }
    return answer(request);
  }
  void set_answer(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::vector<HttpClientRequest> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  Answer answer_;
  std::vector<HttpClientRequest> calls_;
};

}  // namespace ee
