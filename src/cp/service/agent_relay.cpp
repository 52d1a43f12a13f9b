#include "cp/service/agent_relay.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/bytes.h"
#include "common/jose.h"
#include "common/utf8.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxRecordBytes = 256UL * 1024;  // a line of 16 KiB whose every byte is escaped, and more

std::unexpected<Error> bad(std::string why) { return fail(ErrorCode::agent_bad_response, std::move(why)); }

bool flag_of(const boost::json::object& record, std::string_view name) {
  const auto* value = record.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::optional<AgentLogLine> line_of(const boost::json::object& record) {
  const auto at = jose::text_member(record, "at");
  const auto container = jose::text_member(record, "container");
  const auto stream = jose::text_member(record, "stream");
  const auto line = jose::text_member(record, "line");
  if (!at || !container || !stream || !line || !parse_rfc3339(*at)) return std::nullopt;
  return AgentLogLine{.at = std::string(*at),
                      .container = std::string(*container),
                      .stream = std::string(*stream),
                      .line = std::string(*line),
                      .truncated = flag_of(record, "truncated")};
}

/// Drops the oldest until the rest fits.
void keep_newest(AgentLogs& logs, std::size_t max_bytes) {
  std::size_t bytes = 0;
  std::size_t kept = 0;
  for (auto line = logs.items.rbegin(); line != logs.items.rend(); ++line, ++kept) {
    bytes += line->line.size() + line->container.size() + line->stream.size() + line->at.size();
    if (bytes > max_bytes) break;
  }
  if (kept == logs.items.size()) return;
  logs.items.erase(logs.items.begin(), logs.items.end() - static_cast<std::ptrdiff_t>(kept));
  logs.truncated = true;
}

/// What an agent answers that does not answer the question.
Error refusal_of(int status) {
  if (status == 429 || status == 503)
    return Error{.code = ErrorCode::agent_unreachable, .detail = "the agent is busy", .retry_after = Seconds(5)};
  return Error{.code = ErrorCode::agent_bad_response, .detail = "status " + std::to_string(status)};
}

}  // namespace

Result<AgentStanding> standing_of(db::Transaction& tx, DeploymentHooks& deployments, const AgentScope& scope,
                                  const AgentId& id) {
  auto row = AgentStore().get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!*row || (*row)->status == AgentStatus::deleted) return fail(ErrorCode::agent_not_found);
  AgentStanding out{.agent = std::move(**row)};
  out.owns = scope.contains(out.agent);
  if (out.agent.current_deployment_id) {
    const auto holder = deployments.account_of_deployment(tx, out.agent);
    if (!holder) return std::unexpected(holder.error());
    if (*holder && scope.acts_for(**holder)) out.tenant = *holder;
  }
  if (!out.owns && !out.tenant) return fail(ErrorCode::agent_not_found);
  return out;
}

Result<AgentLogs> parse_agent_logs(std::string_view ndjson, std::size_t max_bytes) {
  AgentLogs logs;
  bool ended = false;
  while (!ndjson.empty()) {
    const std::size_t end = std::min(ndjson.find('\n'), ndjson.size());
    const std::string_view text = ndjson.substr(0, end);
    ndjson.remove_prefix(std::min(end + 1, ndjson.size()));
    if (text.empty()) continue;
    if (ended) return bad("lines after the end");
    const auto value = json::parse(text, {.max_bytes = kMaxRecordBytes, .max_depth = 4});
    if (!value || !value->is_object()) return bad("a line is no JSON object");
    const boost::json::object& record = value->get_object();
    if (flag_of(record, "end")) {
      ended = true;
      logs.dropped = std::max<std::int64_t>(0, jose::integer_member(record, "dropped").value_or(0));
      continue;
    }
    auto line = line_of(record);
    if (!line) return bad("a record lacks a member");
    logs.items.push_back(std::move(*line));
  }
  logs.truncated = !ended;
  keep_newest(logs, max_bytes);
  return logs;
}

std::optional<DeploymentLogs> parse_log_tail(std::string_view log_tail, const std::string& deployment_id) {
  const auto bytes = from_base64(log_tail);
  if (!bytes) return std::nullopt;
  const std::string text(bytes->begin(), bytes->end());
  if (!is_utf8(text)) return std::nullopt;
  DeploymentLogs out{.items = {}, .truncated = true};
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t colon = line.find(": ");
    const std::string_view container = colon == std::string_view::npos ? std::string_view() : line.substr(0, colon);
    if (colon != std::string_view::npos) line.remove_prefix(colon + 2);
    out.items.push_back({.at = {},
                         .agent_id = {},
                         .deployment_id = deployment_id,
                         .container = std::string(container),
                         .stream = {},
                         .line = std::string(line)});
  }
  return out;
}

Result<AgentStanding> AgentRelay::standing(const AgentScope& scope, const AgentId& id) {
  return parts_.database.read<AgentStanding>(
      [&](db::Transaction& tx) { return standing_of(tx, parts_.deployments, scope, id); });
}

Result<AgentLogs> AgentRelay::logs(const AgentScope& scope, const AgentId& id, const AgentLogsWanted& wanted,
                                   std::stop_token stop) {
  const auto found = standing(scope, id);
  if (!found) return std::unexpected(found.error());
  // Whoever only owns the machine learns nothing of what runs on it, not even that there are lines.
  if (!scope.all && !found->tenant) return fail(ErrorCode::agent_not_found);
  if (!scope.all && wanted.container == kAgentLines) return fail(ErrorCode::admin_required);
  if (scope.all) return ask(found->agent, "", wanted, std::move(stop));
  auto logs = ask(found->agent, found->agent.current_deployment_id->str(), wanted, std::move(stop));
  if (logs) std::erase_if(logs->items, [](const AgentLogLine& l) { return l.container == kAgentLines; });
  return logs;
}

Result<AgentLogs> AgentRelay::deployment_logs(const AgentId& id, const DeploymentId& deployment,
                                              const AgentLogsWanted& wanted, std::stop_token stop) {
  const auto agent =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return AgentStore().get(tx, id); });
  if (!agent) return std::unexpected(agent.error());
  if (!*agent) return fail(ErrorCode::agent_unreachable);
  return ask(**agent, deployment.str(), wanted, std::move(stop));
}

Result<AgentLogs> AgentRelay::ask(const AgentRow& agent, const std::string& deployment, const AgentLogsWanted& wanted,
                                  std::stop_token stop) {
  const auto answer = parts_.client.logs(
      agent, {.deployment_id = deployment, .container = wanted.container, .since = wanted.since, .tail = wanted.tail},
      std::move(stop));
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return fail(refusal_of(answer->status));
  auto logs = parse_agent_logs(answer->body, wanted.max_bytes);
  if (logs && answer->shortened) logs->truncated = true;
  return logs;
}

Result<std::string> AgentRelay::stats(const AgentScope& scope, const AgentId& id, bool live, std::stop_token stop) {
  const auto found = standing(scope, id);
  if (!found) return std::unexpected(found.error());
  if (!live) return stored_stats(found->agent);
  const auto answer = parts_.client.stats(found->agent, std::move(stop));
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return fail(refusal_of(answer->status));
  auto said = json::parse(answer->body, {.max_bytes = AgentClient::kMaxAnswer, .max_depth = 8});
  if (!said || !said->is_object()) return bad("statistics are no JSON object");
  return boost::json::serialize(boost::json::object{
      {"agent_id", id.str()}, {"live", true}, {"at", to_rfc3339(parts_.clock.now())}, {"stats", std::move(*said)}});
}

Result<std::string> AgentRelay::stored_stats(const AgentRow& agent) {
  struct Stored {
    std::optional<UtcTime> at;
    std::optional<AgentLiveRow> row;
  };
  const auto stored = parts_.database.read<Stored>([&](db::Transaction& tx) -> Result<Stored> {
    const auto at = parts_.live.last_heartbeat_at(tx, agent.id);
    if (!at) return std::unexpected(at.error());
    auto row = live_rows_.get(tx, agent.id);
    if (!row) return std::unexpected(row.error());
    return Stored{.at = *at, .row = std::move(*row)};
  });
  if (!stored) return std::unexpected(stored.error());
  const auto in_memory = parts_.live.stats(key_of(agent.id));
  std::string stats = "null";
  if (in_memory)
    stats = json::write(*in_memory);
  else if (stored->row && stored->row->stats)
    stats = *stored->row->stats;
  return R"({"agent_id":)" + json::quote(agent.id.str()) + R"(,"live":false,"at":)" +
         (stored->at ? json::quote(to_rfc3339(*stored->at)) : "null") + R"(,"stats":)" + stats + "}";
}

}  // namespace ee::cp
