#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "common/json.h"
#include "common/log.h"
#include "common/log_value.h"
#include "common/utf8.h"

namespace ee::log {
void append_value(std::string& to, const OwnedValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    to += *flag ? "true" : "false";
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    to += fmt::format_int(*number).c_str();
  } else if (const auto* time = std::get_if<UtcTime>(&value)) {
    json::append_quoted(to, to_rfc3339(*time));
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    json::append_quoted(to, *text);
  } else {
    to += "null";
  }
}

namespace {

/// JSON objects have each name once: of several fields of one name the first stays.
void drop_repeated_fields(Record& record) {
  auto& fields = record.fields;
  for (std::size_t i = 1; i < fields.size();) {
    const auto same = [&](const auto& earlier) { return earlier.first == fields[i].first; };
    if (std::any_of(fields.begin(), fields.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(i));
      record.truncated = true;
    } else {
      ++i;
    }
  }
}

/// Cuts `text` to `cap` bytes; true when something was lost.
bool cut(std::string& text, std::size_t cap) {
  if (text.size() <= cap) return false;
  text.resize(utf8_prefix(text, cap).size());
  return true;
}

void append_member(std::string& to, std::string_view name, const std::string& value, bool always) {
  if (value.empty() && !always) return;
  to.append(",\"").append(name).append("\":");
  if (value.empty()) {
    to += "null";
  } else {
    json::append_quoted(to, value);
  }
}

std::string json_line(const Record& record) {
  std::string line;
  line.reserve(1024);
  fmt::format_to(std::back_inserter(line), "{{\"at\":\"{}\",\"level\":\"{}\"", to_rfc3339(record.at),
                 to_string(record.level));
  append_member(line, "component", record.component, true);
  append_member(line, "message", record.message, true);
  append_member(line, "request_id", record.context.request_id, true);
  append_member(line, "trace_id", record.context.trace_id, true);
  append_member(line, "span_id", record.context.span_id, true);
  append_member(line, "account_id", record.context.account_id, false);
  append_member(line, "agent_id", record.context.agent_id, false);
  append_member(line, "job", record.context.job, false);
  append_member(line, "replica", record.replica, true);
  line += ",\"fields\":{";
  bool first = true;
  for (const auto& [name, value] : record.fields) {
    if (!first) line += ',';
    first = false;
    json::append_quoted(line, name);
    line += ':';
    append_value(line, value);
  }
  line += '}';
  if (record.truncated) line += ",\"truncated\":true";
  line += '}';
  return line;
}

/// A message on one line, with nothing in it that steers a terminal.
std::string printable(std::string_view text) {
  std::string quoted = json::quote(text);
  std::erase(quoted, '\x7f');
  return quoted.substr(1, quoted.size() - 2);
}

void append_pair(std::string& to, std::string_view name, const std::string& value) {
  if (!value.empty()) fmt::format_to(std::back_inserter(to), " {}={}", name, printable(value));
}

std::string text_line(const Record& record) {
  std::string line = fmt::format("{} {:<5} {}: {}", to_rfc3339(record.at), to_string(record.level),
                                 printable(record.component), printable(record.message));
  for (const auto& [name, value] : record.fields) {
    fmt::format_to(std::back_inserter(line), " {}=", printable(name));
    append_value(line, value);
  }
  append_pair(line, "request_id", record.context.request_id);
  append_pair(line, "account_id", record.context.account_id);
  append_pair(line, "agent_id", record.context.agent_id);
  append_pair(line, "job", record.context.job);
  if (record.truncated) line += " truncated=true";
  return line;
}

void cut_all(Record& record, std::size_t cap) {
  bool lost = cut(record.message, cap);
  lost |= cut(record.component, 64);
  for (std::string* text : {&record.context.request_id, &record.context.trace_id, &record.context.span_id,
                            &record.context.account_id, &record.context.agent_id, &record.context.job, &record.replica})
    lost |= cut(*text, 128);
  for (auto& [name, value] : record.fields) {
    lost |= cut(name, 64);
    if (auto* text = std::get_if<std::string>(&value)) lost |= cut(*text, cap);
  }
  record.truncated |= lost;
}

}  // namespace

std::string_view to_string(Level level) {
  switch (level) {
    case Level::trace: return "trace";
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warn: return "warn";
    case Level::error: return "error";
  }
  return "error";
}

std::string format_line(Record& record, Format format) {
  if (record.fields.size() > kMaxFields) {
    record.fields.resize(kMaxFields);
    record.truncated = true;
  }
  // Escaping makes a text up to six times as long, so the cut is found by trying, first with what nearly always fits.
  for (std::size_t cap = 8192;; cap /= 4) {
    cut_all(record, cap);
    drop_repeated_fields(record);
    std::string line = format == Format::json ? json_line(record) : text_line(record);
    if (line.size() <= kMaxLine) return line;
    if (cap < 128) {
      record.fields.resize(record.fields.size() / 2);
      record.truncated = true;
    }
  }
}

void Context::set_traceparent(std::string_view header) {
  // W3C Trace Context level 1: version "00" - 32 hex - 16 hex - 2 hex; all-zero ids are invalid.
  if (header.size() != 55 || !header.starts_with("00-") || header[35] != '-' || header[52] != '-') return;
  const std::string_view trace = header.substr(3, 32);
  const std::string_view span = header.substr(36, 16);
  const auto valid = [](std::string_view id) {
    return is_lower_hex(id, id.size()) && id.find_first_not_of('0') != std::string_view::npos;
  };
  if (!valid(trace) || !valid(span) || !is_lower_hex(header.substr(53), 2)) return;
  trace_id = trace;
  span_id = span;
}

}  // namespace ee::log
