#pragma once
#include <boost/describe/enum.hpp>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"
#include "common/secret.h"
#include "common/time.h"

/// Structured logs (05 section 13.6):
///
///   log::info("registration", "agent registered", {{"agent_id", id}, {"attempt", 3}});
///
/// The message is a fixed sentence; what varies goes into fields. Everything is redacted (redact.h) before it reaches a
/// sink. The functions never fail and, at INFO and below, never wait.
namespace ee::log {

enum class Level : std::uint8_t { trace, debug, info, warn, error };
BOOST_DESCRIBE_ENUM(Level, trace, debug, info, warn, error)
std::string_view to_string(Level level);

enum class Format : std::uint8_t { json, text };
BOOST_DESCRIBE_ENUM(Format, json, text)

/// A name and a value, for the length of one call. A Secret cannot be logged.
class Field {
 public:
  using Value = std::variant<std::monostate, bool, std::int64_t, UtcTime, std::string_view>;

  Field(std::string_view name, bool value) : name_(name), value_(value) {}
  template <std::integral T>
  Field(std::string_view name, T value) : name_(name), value_(static_cast<std::int64_t>(value)) {}
  Field(std::string_view name, UtcTime value) : name_(name), value_(value) {}
  Field(std::string_view name, Milliseconds value) : name_(name), value_(std::int64_t{value.count()}) {}
  Field(std::string_view name, std::string_view value) : name_(name), value_(value) {}
  Field(std::string_view name, const std::string& value) : name_(name), value_(std::string_view(value)) {}
  Field(std::string_view name, const char* value) : name_(name), value_(std::string_view(value)) {}
  /// The slug of an error code; `Error::detail` is a field of its own.
  Field(std::string_view name, ErrorCode code) : name_(name), value_(slug(code)) {}
  template <class Tag>
  Field(std::string_view name, const Id<Tag>& id) : name_(name), value_(std::string_view(id.str())) {}
  template <class T>
  Field(std::string_view name, const std::optional<T>& value) : name_(name) {
    if (value) value_ = Field(name, *value).value_;
  }
  Field(std::string_view name, const Secret& value) = delete;
  template <std::floating_point T>
  Field(std::string_view name, T value) = delete;  // say the unit and use an integer

  std::string_view name() const { return name_; }
  const Value& value() const { return value_; }

 private:
  std::string_view name_;
  Value value_;
};
using Fields = std::initializer_list<Field>;

/// What every record made in one piece of work has in common. Empty texts are left out (the first three: null).
struct Context {
  std::string request_id = {};
  std::string trace_id = {};
  std::string span_id = {};
  std::string account_id = {};
  std::string agent_id = {};
  std::string job = {};

  /// Takes trace and span from a W3C `traceparent`; anything malformed is ignored.
  void set_traceparent(std::string_view header);
};

/// Gives the current thread a context until the end of the scope; scopes nest, the innermost counts. Stays on its
/// thread.
class ContextScope {
 public:
  explicit ContextScope(Context context);
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  ~ContextScope();
  /// The context of this thread's innermost scope, to add what is learnt on the way (the account after
  /// authentication); nullptr outside of any scope.
  static Context* current();

 private:
  Context context_;
  Context* outer_;
};

using OwnedValue = std::variant<std::monostate, bool, std::int64_t, UtcTime, std::string>;

/// A record as sinks see it: redacted and cut.
struct Record {
  UtcTime at;
  Level level = Level::info;
  std::string component = {};
  std::string message = {};
  Context context = {};
  std::string replica = {};
  std::vector<std::pair<std::string, OwnedValue>> fields = {};
  bool truncated = false;
};

/// Where records go. Called by one thread at a time; must not log.
class Sink {
 public:
  virtual ~Sink() = default;
  /// `line`: the whole record in the logger's format, without the end of line, at most kMaxLine bytes.
  virtual void write(const Record& record, std::string_view line) = 0;
  virtual void flush() {}
};
/// Standard output, one line a record; text gets colours on a terminal.
std::unique_ptr<Sink> standard_output(Format format);

inline constexpr std::size_t kMaxLine = 16UL * 1024;
inline constexpr std::size_t kMaxFields = 64;

/// The record in JSON or text, at most kMaxLine bytes: long texts are cut and `truncated` is set.
std::string format_line(Record& record, Format format);

struct Options {
  Level level = Level::info;
  Format format = Format::json;
  std::string replica = {};
  std::size_t queue_size = 8192;  ///< 0: every call writes on its own thread (tests)
  Milliseconds warn_wait{50};     ///< how long WARN and ERROR wait for room before they are dropped as well
};

/// One bounded queue, one writer thread. Full: INFO and below are dropped at once, WARN and above wait; what was
/// dropped is counted and told in a record of its own. Thread-safe.
class Logger {
 public:
  /// `clock` must outlive it.
  Logger(Options options, std::vector<std::shared_ptr<Sink>> sinks, const Clock& clock);
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;
  /// Writes what is queued.
  ~Logger();

  bool enabled(Level level) const;
  void set_level(Level level);
  void write(Level level, std::string_view component, std::string_view message, Fields fields);
  /// Returns when everything logged before is with the sinks, and they are flushed.
  void flush();
  std::uint64_t dropped() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Makes `logger` the process's own (nullptr: none; records then go nowhere) and returns the one before. The logger
/// must live until another is installed and no thread logs.
Logger* install(Logger* logger);

bool enabled(Level level);
void write(Level level, std::string_view component, std::string_view message, Fields fields = {});
inline void debug(std::string_view component, std::string_view message, Fields fields = {}) {
  write(Level::debug, component, message, fields);
}
inline void info(std::string_view component, std::string_view message, Fields fields = {}) {
  write(Level::info, component, message, fields);
}
inline void warn(std::string_view component, std::string_view message, Fields fields = {}) {
  write(Level::warn, component, message, fields);
}
inline void error(std::string_view component, std::string_view message, Fields fields = {}) {
  write(Level::error, component, message, fields);
}

}  // namespace ee::log
