#include "cp/service/agent_relay.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace ee::cp {
namespace {

std::unexpected<Error> bad(std::string why) { return fail(ErrorCode::agent_bad_response, std::move(why)); }

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
  auto answer = parse_agent_answer(ndjson);
  if (!answer) return std::unexpected(std::move(answer.error()));
  AgentLogs logs{.items = {}, .truncated = !answer->ended, .dropped = answer->dropped};
  logs.items.reserve(answer->records.size());
  for (AgentLogRecord& record : answer->records) logs.items.push_back(std::move(record.line));
  keep_newest(logs, max_bytes);
  return logs;
}

Result<AgentStanding> AgentRelay::standing(const AgentScope& scope, const AgentId& id) {
  return parts_.database.read<AgentStanding>(
      [&](db::Transaction& tx) { return standing_of(tx, parts_.deployments, scope, id); });
}

Result<AgentLogs> AgentRelay::logs(const AgentScope& scope, const AgentId& id, const AgentLogsWanted& wanted,
                                   const std::stop_token& stop) {
  const auto found = standing(scope, id);
  if (!found) return std::unexpected(found.error());
  // Whoever only owns the machine learns nothing of what runs on it, not even that there are lines.
  if (!scope.all && !found->tenant) return fail(ErrorCode::agent_not_found);
  if (!scope.all && wanted.container == kAgentLines) return fail(ErrorCode::admin_required);
  if (scope.all) return ask(found->agent, "", wanted, stop);
  auto logs = ask(found->agent, found->agent.current_deployment_id->str(), wanted, stop);
  if (logs) std::erase_if(logs->items, [](const AgentLogLine& l) { return l.container == kAgentLines; });
  return logs;
}

Result<AgentLogs> AgentRelay::ask(const AgentRow& agent, const std::string& deployment, const AgentLogsWanted& wanted,
                                  const std::stop_token& stop) {
  const auto answer = parts_.client.logs(
      agent, {.deployment_id = deployment, .container = wanted.container, .since = wanted.since, .tail = wanted.tail},
      stop);
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
