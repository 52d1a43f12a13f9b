#include "cp/service/agent_log_records.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/id.h"
#include "common/jose.h"
#include "common/redact.h"

namespace ee::cp {
namespace {

std::unexpected<Error> bad(std::string why) { return fail(ErrorCode::agent_bad_response, std::move(why)); }

bool flag_of(const boost::json::object& record, std::string_view name) {
  const auto* value = record.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace

Result<AgentLogRecord> parse_agent_record(std::string_view text) {
  const auto value = json::parse(text, {.max_bytes = kMaxAgentRecord, .max_depth = 4, .max_nodes = 64});
  if (!value || !value->is_object()) return bad("a line is no JSON object");
  const boost::json::object& record = value->get_object();
  if (flag_of(record, "end")) {
    AgentLogRecord end{.is_end = true};
    end.dropped = std::max<std::int64_t>(0, jose::integer_member(record, "dropped").value_or(0));
    return end;
  }
  const auto at = jose::text_member(record, "at");
  const auto container = jose::text_member(record, "container");
  const auto stream = jose::text_member(record, "stream");
  const auto line = jose::text_member(record, "line");
  if (!at || !container || !stream || !line) return bad("a record lacks a member");
  const auto time = parse_rfc3339(*at);
  if (!time) return bad("a record has no time");
  if (!is_dns_label(*container) && *container != "_agent") return bad("a record's container has no name");
  if (*stream != "stdout" && *stream != "stderr") return bad("a record's stream is neither of the two");
  if (line->size() > kMaxAgentLine) return bad("a line is too long");
  return AgentLogRecord{.at = *time,
                        .line = {.at = to_rfc3339(*time),
                                 .container = std::string(*container),
                                 .stream = std::string(*stream),
                                 .line = scrub(*line),
                                 .truncated = flag_of(record, "truncated")}};
}

Result<AgentLogAnswer> parse_agent_answer(std::string_view ndjson) {
  AgentLogAnswer answer;
  if (auto read = read_agent_answer(ndjson, answer); !read) return std::unexpected(std::move(read.error()));
  return answer;
}

Result<void> read_agent_answer(std::string_view ndjson, AgentLogAnswer& answer) {
  while (!ndjson.empty()) {
    const std::size_t end = std::min(ndjson.find('\n'), ndjson.size());
    const std::string_view text = ndjson.substr(0, end);
    ndjson.remove_prefix(std::min(end + 1, ndjson.size()));
    if (text.empty()) continue;
    if (answer.ended) return bad("lines after the end");
    auto record = parse_agent_record(text);
    if (!record) return std::unexpected(std::move(record.error()));
    if (record->is_end) {
      answer.ended = true;
      answer.dropped = record->dropped;
    } else {
      answer.records.push_back(std::move(*record));
    }
  }
  return {};
}

}  // namespace ee::cp
