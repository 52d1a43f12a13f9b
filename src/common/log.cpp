#include "common/log.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/sinks/ansicolor_sink.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>

#include "common/redact.h"

namespace ee::log {
namespace {

thread_local Context* current_context = nullptr;
std::atomic<Logger*> process_logger = nullptr;

OwnedValue owned(const Field::Value& value) {
  return std::visit(
      [](const auto& item) -> OwnedValue {
        if constexpr (std::is_same_v<std::decay_t<decltype(item)>, std::string_view>) {
          return std::string(item);
        } else {
          return item;
        }
      },
      value);
}

void redact(Record& record) {
  for (std::string* text :
       {&record.component, &record.message, &record.context.request_id, &record.context.trace_id,
        &record.context.span_id, &record.context.account_id, &record.context.agent_id, &record.context.job})
    scrub_in_place(*text);
  for (auto& [name, value] : record.fields) {
    auto* const text = std::get_if<std::string>(&value);
    if (text && is_secret_name(name))
      *text = kRedacted;
    else if (text)
      scrub_in_place(*text);
    scrub_in_place(name);
  }
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::trace: return spdlog::level::trace;
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

/// Lines for programs, kept until `flush`: one write for many of them.
class PlainOutput final : public Sink {
  static constexpr std::size_t kMost = 64UL * 1024;

 public:
  void write(const Record&, std::string_view line) override {
    lines_.append(line).append("\n");
    if (lines_.size() >= kMost) flush();
  }
  void flush() override {
    std::fwrite(lines_.data(), 1, lines_.size(), stdout);
    std::fflush(stdout);
    lines_.clear();
  }

 private:
  std::string lines_;
};

/// Lines for people, in colours on a terminal.
class ColouredOutput final : public Sink {
 public:
  ColouredOutput() : sink_(std::make_unique<spdlog::sinks::ansicolor_stdout_sink_st>()) {
    sink_->set_pattern("%^%v%$");
  }
  void write(const Record& record, std::string_view line) override {
    sink_->log(
        spdlog::details::log_msg(spdlog::string_view_t(), spdlog_level(record.level), {line.data(), line.size()}));
  }
  void flush() override { sink_->flush(); }

 private:
  std::unique_ptr<spdlog::sinks::sink> sink_;
};

}  // namespace

std::unique_ptr<Sink> standard_output(Format format) {
  if (format == Format::text) return std::make_unique<ColouredOutput>();
  return std::make_unique<PlainOutput>();
}

ContextScope::ContextScope(Context context) : context_(std::move(context)), outer_(current_context) {
  current_context = &context_;
}
ContextScope::~ContextScope() { current_context = outer_; }
Context* ContextScope::current() { return current_context; }

class Logger::Impl {
  /// Short: what is written in one go takes the processor from those whose answers are on their way.
  static constexpr Milliseconds kGather{2};

 public:
  Impl(Options options, std::vector<std::shared_ptr<Sink>> sinks, const Clock& clock)
      : options_(std::move(options)), sinks_(std::move(sinks)), clock_(clock), level_(options_.level) {
    if (options_.queue_size > 0) writer_ = std::jthread([this] { run(); });
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    filled_.notify_all();
    if (writer_.joinable()) writer_.join();
    flush_sinks();
  }

  bool enabled(Level level) const { return level >= level_.load(std::memory_order_relaxed); }
  void set_level(Level level) { level_ = level; }
  std::uint64_t dropped() const { return dropped_.load(); }

  void write(Level level, std::string_view component, std::string_view message, Fields fields) {
    Record record{
        .at = clock_.now(), .level = level, .component = std::string(component), .message = std::string(message)};
    if (current_context != nullptr) record.context = *current_context;
    record.replica = options_.replica;
    record.fields.reserve(fields.size());
    for (const Field& field : fields) record.fields.emplace_back(field.name(), owned(field.value()));
    if (options_.queue_size == 0) {
      const std::lock_guard lock(mutex_);
      deliver(std::move(record));
      flush_sinks();
    } else {
      enqueue(std::move(record));
    }
  }

  void flush() {
    if (options_.queue_size > 0) {
      std::unique_lock lock(mutex_);
      const std::uint64_t wanted = accepted_;
      urgent_ = true;
      filled_.notify_one();
      drained_.wait(lock, [&] { return delivered_ >= wanted; });
    }
    flush_sinks();
  }

 private:
  void enqueue(Record record) {
    std::unique_lock lock(mutex_);
    const auto has_room = [&] { return queue_.size() < options_.queue_size; };
    if (!has_room() && record.level >= Level::warn) emptied_.wait_for(lock, options_.warn_wait, has_room);
    if (!has_room()) {
      ++dropped_;
      return;
    }
    const bool urgent = record.level >= Level::warn;
    urgent_ = urgent_ || urgent;
    queue_.push_back(std::move(record));
    ++accepted_;
    const bool wake = urgent || queue_.size() == 1 || queue_.size() == gather_;
    lock.unlock();
    if (wake) filled_.notify_one();
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      filled_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      // A busy process gathers some: to be woken for each record costs more than to write it.
      filled_.wait_for(lock, kGather, [&] { return closing_ || urgent_ || queue_.size() >= gather_; });
      urgent_ = false;
      while (!queue_.empty()) write_front(lock);
      lock.unlock();
      flush_sinks();
      lock.lock();
    }
  }
  void write_front(std::unique_lock<std::mutex>& lock) {
    Record record = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    emptied_.notify_one();
    deliver(std::move(record));
    lock.lock();
    ++delivered_;
    drained_.notify_all();
  }

  void deliver(Record record) {
    const std::uint64_t dropped = dropped_.load();
    if (dropped > told_) {
      Record note{.at = record.at, .level = Level::warn, .component = "log", .message = "log records were dropped"};
      note.replica = record.replica;
      note.fields.emplace_back("count", static_cast<std::int64_t>(dropped - told_));
      told_ = dropped;
      send(note);
    }
    redact(record);
    send(record);
  }
  void send(Record& record) {
    const std::string line = format_line(record, options_.format);
    const std::lock_guard lock(sink_mutex_);
    for (const auto& sink : sinks_) sink->write(record, line);
  }
  void flush_sinks() {
    const std::lock_guard lock(sink_mutex_);
    for (const auto& sink : sinks_) sink->flush();
  }

  const Options options_;
  const std::vector<std::shared_ptr<Sink>> sinks_;
  const Clock& clock_;
  std::atomic<Level> level_;
  std::atomic<std::uint64_t> dropped_ = 0;
  std::uint64_t told_ = 0;  // of `dropped_`; the delivering thread's own

  std::mutex sink_mutex_;  // flush() comes from other threads than the writer
  std::mutex mutex_;
  std::condition_variable filled_, emptied_, drained_;
  std::deque<Record> queue_;
  std::uint64_t accepted_ = 0, delivered_ = 0;
  bool closing_ = false;
  bool urgent_ = false;  ///< somebody waits, or must not
  const std::size_t gather_ = std::max<std::size_t>(options_.queue_size / 8, 1);
  std::jthread writer_;
};

Logger::Logger(Options options, std::vector<std::shared_ptr<Sink>> sinks, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(sinks), clock)) {}
Logger::~Logger() = default;
bool Logger::enabled(Level level) const { return impl_->enabled(level); }
void Logger::set_level(Level level) { impl_->set_level(level); }
void Logger::write(Level level, std::string_view component, std::string_view message, Fields fields) {
  if (impl_->enabled(level)) impl_->write(level, component, message, fields);
}
void Logger::flush() { impl_->flush(); }
std::uint64_t Logger::dropped() const { return impl_->dropped(); }

Logger* install(Logger* logger) { return process_logger.exchange(logger); }

bool enabled(Level level) {
  const Logger* logger = process_logger.load(std::memory_order_acquire);
  return logger != nullptr && logger->enabled(level);
}

void write(Level level, std::string_view component, std::string_view message, Fields fields) {
  Logger* logger = process_logger.load(std::memory_order_acquire);
  if (logger != nullptr) logger->write(level, component, message, fields);
}

}  // namespace ee::log
