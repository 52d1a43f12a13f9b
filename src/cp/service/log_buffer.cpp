#include "cp/service/log_buffer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "common/log_value.h"

namespace ee::cp {
namespace {

constexpr std::size_t kStep = 2048;  // entries looked at under one lock

/// The text of a field of that name, for records whose context does not say it.
std::string text_field(const log::Record& record, std::string_view name) {
  for (const auto& [field, value] : record.fields)
    if (const auto* text = std::get_if<std::string>(&value); text != nullptr && field == name) return *text;
  return {};
}

std::string fields_of(const log::Record& record) {
  std::string out;
  out.reserve(512);
  out += '{';
  const auto add = [&](std::string_view name, const log::OwnedValue& value) {
    if (out.size() > 1) out += ',';
    json::append_quoted(out, name);
    out += ':';
    log::append_value(out, value);
  };
  for (const auto& [name, value] : record.fields) add(name, value);
  const bool has_job = std::ranges::find(record.fields, "job", [](const auto& f) -> const std::string& {
                         return f.first;
                       }) != record.fields.end();
  if (!record.context.job.empty() && !has_job) add("job", record.context.job);
  if (record.truncated && out.find("\"truncated\":") == std::string::npos) add("truncated", true);
  return out + '}';
}

LogEntry entry_of(const log::Record& record) {
  LogEntry entry{.at = record.at,
                 .level = record.level,
                 .component = record.component,
                 .message = record.message,
                 .request_id = record.context.request_id,
                 .account_id = record.context.account_id,
                 .deployment_id = text_field(record, "deployment_id"),
                 .agent_id = record.context.agent_id,
                 .fields = fields_of(record)};
  if (entry.account_id.empty()) entry.account_id = text_field(record, "account_id");
  if (entry.agent_id.empty()) entry.agent_id = text_field(record, "agent_id");
  if (entry.request_id.empty()) entry.request_id = text_field(record, "request_id");
  return entry;
}

void append_member(std::string& to, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  fmt::format_to(std::back_inserter(to), ",\"{}\":", name);
  json::append_quoted(to, value);
}

std::optional<std::string> some(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

}  // namespace

std::string LogEntry::json() const {
  std::string out = fmt::format(R"({{"seq":{},"at":"{}","level":"{}")", seq, to_rfc3339(at), log::to_string(level));
  append_member(out, "component", component);
  append_member(out, "message", message);
  append_member(out, "request_id", request_id);
  append_member(out, "account_id", account_id);
  append_member(out, "deployment_id", deployment_id);
  append_member(out, "agent_id", agent_id);
  out += ",\"fields\":";
  out += fields;
  out += '}';
  return out;
}

std::size_t LogEntry::cost() const {
  return sizeof(LogEntry) + 64 + component.size() + message.size() + request_id.size() + account_id.size() +
         deployment_id.size() + agent_id.size() + fields.size();
}

bool LogFilter::matches(const LogEntry& entry) const {
  const auto fits = [](const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; };
  return entry.level >= min_level && (!since || entry.at >= *since) && (!until || entry.at < *until) &&
         fits(component, entry.component) && fits(request_id, entry.request_id) &&
         fits(deployment_id, entry.deployment_id) && fits(agent_id, entry.agent_id) &&
         (search.empty() || entry.message.contains(search) || entry.fields.contains(search));
}

void LogBuffer::write(const log::Record& record, std::string_view) {
  LogEntry entry = entry_of(record);
  if (entry.cost() > log::kMaxLine) {
    // The writer's format may have been shorter than JSON is.
    log::Record cut = record;
    log::format_line(cut, log::Format::json);
    entry = entry_of(cut);
  }
  {
    const std::lock_guard lock(mutex_);
    entry.seq = next_++;
    bytes_ += entry.cost();
    entries_.push_back(std::make_shared<const LogEntry>(std::move(entry)));
    while (entries_.size() > max_records_ || bytes_ > max_bytes_) {
      bytes_ -= entries_.front()->cost();
      entries_.pop_front();
      ++dropped_;
    }
  }
  const std::lock_guard lock(listener_mutex_);
  if (listener_) listener_();
}

std::vector<LogEntryPtr> LogBuffer::step(std::uint64_t seq, bool ascending) const {
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return {};
  const std::uint64_t first = entries_.front()->seq;
  std::vector<LogEntryPtr> out;
  if (ascending) {
    const std::size_t begin = seq <= first ? 0 : static_cast<std::size_t>(seq - first);
    if (begin >= entries_.size()) return {};
    const auto from = entries_.begin() + static_cast<std::ptrdiff_t>(begin);
    out.assign(from, from + static_cast<std::ptrdiff_t>(std::min(kStep, entries_.size() - begin)));
    return out;
  }
  if (seq < first) return {};
  const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(seq - first) + 1, entries_.size());
  for (std::size_t i = count; i > 0 && out.size() < kStep; --i) out.push_back(entries_[i - 1]);
  return out;
}

LogBuffer::Page LogBuffer::page(const LogFilter& filter, std::optional<std::uint64_t> after, std::size_t limit,
                                bool ascending) const {
  Page page;
  std::uint64_t at = ascending ? after.value_or(0) + 1 : after.value_or(next_seq()) - 1;
  for (;;) {
    if (!ascending && at == 0) return page;
    const auto entries = step(at, ascending);
    if (entries.empty()) return page;
    for (const LogEntryPtr& entry : entries) {
      if (!filter.matches(*entry)) continue;
      if (page.items.size() == limit) {
        page.more = true;
        return page;
      }
      page.items.push_back(entry);
    }
    at = ascending ? entries.back()->seq + 1 : entries.back()->seq - 1;
  }
}

LogBuffer::Following LogBuffer::follow(const LogFilter& filter, std::uint64_t position, std::size_t queue,
                                       std::size_t limit) const {
  Following out;
  std::deque<LogEntryPtr> waiting;
  for (;;) {
    const auto entries = step(position, true);
    if (entries.empty()) break;
    if (entries.front()->seq > position) out.lost += entries.front()->seq - position;
    for (const LogEntryPtr& entry : entries) {
      if (!filter.matches(*entry)) continue;
      waiting.push_back(entry);
      if (waiting.size() <= queue) continue;
      waiting.pop_front();
      ++out.lost;
    }
    position = entries.back()->seq + 1;
  }
  out.position = position;
  if (waiting.size() > limit) {
    out.position = waiting[limit]->seq;
    waiting.resize(limit);
  }
  out.items.assign(waiting.begin(), waiting.end());
  return out;
}

std::uint64_t LogBuffer::first_seq() const {
  const std::lock_guard lock(mutex_);
  return entries_.empty() ? next_ : entries_.front()->seq;
}

std::uint64_t LogBuffer::next_seq() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

std::uint64_t LogBuffer::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::size_t LogBuffer::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void LogBuffer::listen(std::function<void()> on_record) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(on_record);
}

LogRecordObject object_of(const LogEntry& entry) {
  return {.seq = static_cast<std::int64_t>(entry.seq),
          .at = entry.at,
          .level = entry.level,
          .component = entry.component,
          .message = entry.message,
          .request_id = some(entry.request_id),
          .account_id = some(entry.account_id),
          .deployment_id = some(entry.deployment_id),
          .agent_id = some(entry.agent_id),
          .fields = json::parse(entry.fields).value_or(boost::json::value(nullptr))};
}

}  // namespace ee::cp
