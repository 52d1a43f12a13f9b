#include "cp/http/log_parameters.h"

#include <charconv>

#include "common/id.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxSearch = 200;
constexpr std::int64_t kMaxAgo = 366LL * 86400;
const std::string kText = R"({"type":"string"})";

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

std::optional<LogTime> parse_log_time(std::string_view text) {
  if (const auto at = parse_rfc3339(text)) return LogTime{.at = at};
  if (text.size() < 2 || text.size() > 9 || text.front() == '-') return std::nullopt;
  const auto count = whole_number(text.substr(0, text.size() - 1));
  if (!count) return std::nullopt;
  std::int64_t unit = 0;
  switch (text.back()) {
    case 's': unit = 1; break;
    case 'm': unit = 60; break;
    case 'h': unit = 3600; break;
    case 'd': unit = 86400; break;
    default: return std::nullopt;
  }
  if (*count > kMaxAgo / unit) return std::nullopt;
  return LogTime{.ago = Seconds(*count * unit)};
}

std::string LogTime::for_agent() const {
  if (at) return to_rfc3339(*at);
  // Their counts end at a million.
  if (ago.count() <= 86400) return std::to_string(ago.count()) + "s";
  return std::to_string((ago.count() + 59) / 60) + "m";
}

Result<std::int64_t> number_of(const Query& query, std::string_view name, std::int64_t most, std::int64_t otherwise) {
  const auto text = query.text(name);
  if (!text) return otherwise;
  const auto value = whole_number(*text);
  if (!value || *value < 1 || *value > most)
    return fail(bad_query(name, "out_of_range", "1 to " + std::to_string(most)));
  return *value;
}

Result<std::optional<LogTime>> log_time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<LogTime>{};
  auto time = parse_log_time(*text);
  if (!time) return fail(bad_query(name, "bad_format", "a time, or a span such as 5m"));
  return time;
}

Result<std::string> short_text_of(const Query& query, std::string_view name, std::size_t most) {
  auto text = query.text(name).value_or("");
  if (text.size() > most) return fail(bad_query(name, "too_long", "at most " + std::to_string(most) + " bytes"));
  return text;
}

Result<std::string> uuid_text_of(const Query& query, std::string_view name) {
  auto text = query.text(name);
  if (!text) return std::string();
  if (!is_uuid(*text)) return fail(bad_query(name, "bad_format", "a UUID"));
  return std::move(*text);
}

Result<log::Level> level_of(const Query& query, std::string_view name, log::Level otherwise) {
  const auto text = query.text(name);
  if (!text) return otherwise;
  for (const auto level : {log::Level::trace, log::Level::debug, log::Level::info, log::Level::warn, log::Level::error})
    if (log::to_string(level) == *text) return level;
  return fail(bad_query(name, "not_in_enum", "trace, debug, info, warn or error"));
}

Result<LogFilter> log_filter_of(const Query& query, UtcTime now) {
  LogFilter filter;
  const auto level = level_of(query, "min_level", log::Level::info);
  if (!level) return std::unexpected(level.error());
  filter.min_level = *level;
  for (const auto& [name, to] : {std::pair("since", &LogFilter::since), std::pair("until", &LogFilter::until)}) {
    const auto time = log_time_of(query, name);
    if (!time) return std::unexpected(time.error());
    if (*time) filter.*to = (*time)->resolved(now);
  }
  struct Text {
    const char* name;
    std::string LogFilter::* to;
    std::size_t most;
  };
  for (const Text& text : {Text{"component", &LogFilter::component, 64}, Text{"request_id", &LogFilter::request_id, 64},
                           Text{"q", &LogFilter::search, kMaxSearch}}) {
    auto value = short_text_of(query, text.name, text.most);
    if (!value) return std::unexpected(std::move(value.error()));
    filter.*text.to = std::move(*value);
  }
  for (const auto& [name, to] :
       {std::pair("deployment_id", &LogFilter::deployment_id), std::pair("agent_id", &LogFilter::agent_id)}) {
    auto id = uuid_text_of(query, name);
    if (!id) return std::unexpected(std::move(id.error()));
    filter.*to = std::move(*id);
  }
  return filter;
}

Result<ContainerLogsWanted> container_logs_of(const Query& query) {
  ContainerLogsWanted wanted;
  wanted.container = query.text("container").value_or("");
  if (!wanted.container.empty() && wanted.container != ContainerLogs::kAgentLines && !is_dns_label(wanted.container))
    return fail(bad_query("container", "bad_format", "the name of a container"));
  const auto since = log_time_of(query, "since");
  if (!since) return std::unexpected(since.error());
  wanted.since = *since ? (*since)->for_agent() : "5m";
  const auto until = log_time_of(query, "until");
  if (!until) return std::unexpected(until.error());
  if (*until) wanted.until = (*until)->for_agent();
  const auto tail = number_of(query, "tail", ContainerLogs::kMaxTail, wanted.tail);
  if (!tail) return std::unexpected(tail.error());
  wanted.tail = *tail;
  const std::string stream = query.text("stream").value_or("both");
  if (stream != "stdout" && stream != "stderr" && stream != "both")
    return fail(bad_query("stream", "not_in_enum", "stdout, stderr or both"));
  if (stream != "both") wanted.stream = stream;
  auto search = short_text_of(query, "q", kMaxSearch);
  if (!search) return std::unexpected(std::move(search.error()));
  wanted.search = std::move(*search);
  return wanted;
}

std::vector<QueryParameter> log_filter_parameters() {
  return {{"min_level", R"({"type":"string","enum":["trace","debug","info","warn","error"],"default":"info"})",
           "Of this level and above."},
          {"since", kText, "From then on: a time, or how long ago, such as `5m`, `1h`, `7d`."},
          {"until", kText, "Before then."},
          {"component", kText, "Of this part of the program."},
          {"request_id", kText, "Of this request."},
          {"deployment_id", R"({"type":"string","format":"uuid"})", "About this deployment."},
          {"agent_id", R"({"type":"string","format":"uuid"})", "About this agent."},
          {"q", R"({"type":"string","maxLength":200})", "A text that stands in the message or the fields."}};
}

std::vector<QueryParameter> container_log_parameters() {
  return {
      {"container", kText, "One service of the compose document."},
      {"since", kText, "From then on: a time, or how long ago, such as `5m`, which is the default."},
      {"until", kText, "Before then."},
      {"tail", R"({"type":"integer","minimum":1,"maximum":10000,"default":200})", "The newest lines."},
      {"stream", R"({"type":"string","enum":["stdout","stderr","both"],"default":"both"})", "Of this stream."},
      {"q", R"({"type":"string","maxLength":200})", "A text that stands in the line."},
      {"follow", R"({"type":"boolean","default":false})",
       "Events instead, as they come; so does `Accept: text/event-stream`."},
      {"format", R"({"type":"string","enum":["json","ndjson","text"],"default":"json"})", "How lines are written."}};
}

}  // namespace ee::cp
