#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/log.h"

namespace ee {

/// Keeps what it is given. Thread-safe.
class FakeLogSink final : public log::Sink {
 public:
  void write(const log::Record& record, std::string_view line) override {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
    lines_.emplace_back(line);
  }
  std::vector<log::Record> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  /// Whether any line has `text` in it.
  bool contains(std::string_view text) const {
    const std::lock_guard lock(mutex_);
    for (const std::string& line : lines_)
      if (line.find(text) != std::string::npos) return true;
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<log::Record> records_;
  std::vector<std::string> lines_;
};

/// Installs a logger that writes at once into a sink of its own, for the length of a test.
class CaptureLogs {
 public:
  explicit CaptureLogs(log::Level level = log::Level::trace)
      : logger_({.level = level, .replica = "test", .queue_size = 0}, {sink_}, clock_),
        before_(log::install(&logger_)) {}
  CaptureLogs(const CaptureLogs&) = delete;
  CaptureLogs& operator=(const CaptureLogs&) = delete;
  ~CaptureLogs() { log::install(before_); }
  const FakeLogSink& sink() const { return *sink_; }
  const FakeLogSink* operator->() const { return sink_.get(); }

 private:
  FakeClock clock_;
  std::shared_ptr<FakeLogSink> sink_ = std::make_shared<FakeLogSink>();
  log::Logger logger_;
  log::Logger* before_;
};

}  // namespace ee
