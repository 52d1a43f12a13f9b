#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "cp/service/export_writer.h"
#include "net/http.h"
#include "net/stream.h"

namespace ee::cp {

/// Answers that a thread of their own writes for minutes; a few at once. A reader that takes nothing is cut off by the
/// server's write time-out; one that is too slow to be done when the time is over is cut off as well. Thread-safe.
class ExportStreams {
 public:
  /// Runs on the export's thread. What was begun and not finished when it returns is cut off.
  using Produce = std::function<void(const ByteSink& sink, const std::stop_token& stop)>;

  ExportStreams(Clock& clock, std::size_t most, Seconds longest);
  ExportStreams(const ExportStreams&) = delete;
  ExportStreams& operator=(const ExportStreams&) = delete;
  /// Cuts off what is under way.
  ~ExportStreams();

  /// A place among the few; given back when it is destroyed unused.
  class Place {
   public:
    explicit Place(std::shared_ptr<std::atomic<std::size_t>> busy) : busy_(std::move(busy)) {}
    Place(Place&&) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (busy_) --*busy_;
    }

   private:
    std::shared_ptr<std::atomic<std::size_t>> busy_;
  };
  /// Errors: export_busy.
  Result<Place> reserve();
  /// 200 with what `produce` writes.
  net::Response start(Place place, std::string content_type, const std::string& file_name, Produce produce);
  std::size_t running() const { return *busy_; }

 private:
  struct Running;

  Clock& clock_;
  const std::size_t most_;
  const Seconds longest_;
  std::shared_ptr<std::atomic<std::size_t>> busy_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::mutex mutex_;
  std::vector<std::unique_ptr<Running>> running_;
};

}  // namespace ee::cp
