#include "cp/service/container_logs.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <tuple>

#include "common/bytes.h"
#include "common/redact.h"
#include "common/utf8.h"
#include "cp/store/agent_store.h"

namespace ee::cp {
namespace {

bool is_admin(const Principal& principal) { return principal.kind == PrincipalKind::session && principal.is_admin; }

/// All refused: the code that says most.
Error nobody_answered(const std::vector<AgentLines>& gathered) {
  const bool any_bad = std::ranges::any_of(gathered, [](const AgentLines& each) {
    return each.failure && each.failure->code == ErrorCode::agent_bad_response;
  });
  return {.code = any_bad ? ErrorCode::agent_bad_response : ErrorCode::agent_unreachable};
}

AgentLines failed(Error error) { return {.answer = {}, .failure = std::move(error)}; }

}  // namespace

std::optional<ContainerLogPage> parse_log_tail(std::string_view log_tail, const std::string& deployment_id) {
  const auto bytes = from_base64(log_tail);
  if (!bytes) return std::nullopt;
  const std::string kept(bytes->begin(), bytes->end());
  if (!is_utf8(kept)) return std::nullopt;
  const std::string text = scrub(kept);
  ContainerLogPage out{.items = {}, .truncated = true, .dropped = 0, .errors = {}};
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

ContainerLogLine shown_line(AgentLogRecord record, const LogTarget& target) {
  AgentLogLine& line = record.line;
  return {.at = std::move(line.at),
          .agent_id = target.agent.id.str(),
          .deployment_id = target.deployment_id.empty() ? std::nullopt : std::optional(target.deployment_id),
          .container = std::move(line.container),
          .stream = std::move(line.stream),
          .line = std::move(line.line),
          .truncated = line.truncated};
}

Result<LogTargets> ContainerLogs::find(const Principal& principal, const LogSelection& selection,
                                       std::string_view container) const {
  if (container == kAgentLines && !is_admin(principal)) return fail(ErrorCode::admin_required);
  if (selection.agent) return of_agent(principal, *selection.agent, container);
  if (selection.deployment) {
    auto row = parts_.deployments.row(principal, *selection.deployment);
    if (!row) return std::unexpected(std::move(row.error()));
    return of_rows({std::move(*row)}, container);
  }
  DeploymentFilter filter;
  if (selection.service) {
    const auto service = parts_.services.get(principal, *selection.service);
    if (!service) return std::unexpected(service.error());
    filter.service = *selection.service;
    filter.states = {DeploymentState::pending, DeploymentState::assigned, DeploymentState::deploying,
                     DeploymentState::running, DeploymentState::updating, DeploymentState::stopping};
  } else {
    filter.group_id = selection.group_id;
  }
  auto rows = parts_.deployments.rows(principal, std::move(filter));
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty() && selection.group_id) return fail(ErrorCode::deployment_not_found);
  return of_rows(std::move(*rows), container);
}

Result<LogTargets> ContainerLogs::of_rows(std::vector<DeploymentRow> rows, std::string_view container) const {
  LogTargets out{.over = std::ranges::all_of(rows, [](const DeploymentRow& row) { return is_final(row.state); })};
  if (rows.size() == 1 && out.over) {
    out.ended = std::move(rows.front());
    return out;
  }
  std::erase_if(rows, [](const DeploymentRow& row) { return is_final(row.state); });
  for (const DeploymentRow& row : rows) out.deployments.push_back(row.id.str());
  std::erase_if(rows, [](const DeploymentRow& row) { return !row.agent_id || !row.slot_held; });
  out.cut = rows.size() > kMaxAgents;
  if (out.cut) rows.resize(kMaxAgents);
  const auto read = parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    for (const DeploymentRow& row : rows) {
      auto agent = AgentStore().get(tx, *row.agent_id);
      if (!agent) return std::unexpected(agent.error());
      if (*agent)
        out.live.push_back(
            {.deployment_id = container == kAgentLines ? "" : row.id.str(), .agent = std::move(**agent)});
    }
    return true;
  });
  if (!read) return std::unexpected(read.error());
  return out;
}

Result<LogTargets> ContainerLogs::of_agent(const Principal& principal, const AgentId& id,
                                           std::string_view container) const {
  if (!is_admin(principal)) return fail(ErrorCode::agent_not_found);
  auto agent =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return AgentStore().get(tx, id); });
  if (!agent) return std::unexpected(agent.error());
  if (!*agent || (*agent)->status == AgentStatus::deleted) return fail(ErrorCode::agent_not_found);
  LogTargets out;
  const auto& holds = (*agent)->current_deployment_id;
  if (holds) out.deployments.push_back(holds->str());
  if (container == kAgentLines)
    out.live.push_back({.deployment_id = "", .agent = std::move(**agent)});
  else if (holds)
    out.live.push_back({.deployment_id = holds->str(), .agent = std::move(**agent)});
  return out;
}

AgentLines ContainerLogs::ask(const LogTarget& target, const ContainerLogsWanted& wanted, std::size_t max_bytes,
                              const std::stop_token& stop) const {
  const auto answer = parts_.client.logs(target.agent,
                                         {.deployment_id = target.deployment_id,
                                          .container = wanted.container,
                                          .since = wanted.since,
                                          .until = wanted.until,
                                          .tail = wanted.tail,
                                          .stream = wanted.stream,
                                          .search = wanted.search,
                                          .max_answer = max_bytes,
                                          .shorten = wanted.shorten,
                                          .keep_part = true},
                                         stop);
  if (!answer) return failed(answer.error());
  if (answer->status == 429 || answer->status == 503)
    return failed({.code = ErrorCode::agent_unreachable, .detail = "the agent is busy"});
  if (answer->status != 200 || !is_ndjson(answer->content_type))
    return failed({.code = ErrorCode::agent_bad_response,
                   .detail = "status " + std::to_string(answer->status) + ", or no NDJSON"});
  AgentLines out{.answer = {}, .failure = {}, .shortened = answer->shortened};
  std::string_view body = answer->body;
  if (answer->broken_off) body = body.substr(0, body.rfind('\n') + 1);  // a piece of a line is none
  if (auto read = read_agent_answer(body, out.answer); !read)
    out.failure = std::move(read.error());
  else if (answer->broken_off)
    out.failure = Error{.code = ErrorCode::agent_unreachable, .detail = "the answer broke off"};
  else if (!out.answer.ended)
    out.failure = Error{.code = ErrorCode::agent_bad_response, .detail = "the answer has no end"};
  // An agent that sends what was not asked for.
  if (!target.deployment_id.empty())
    std::erase_if(out.answer.records, [](const AgentLogRecord& each) { return each.line.container == kAgentLines; });
  return out;
}

std::vector<AgentLines> ContainerLogs::ask_all(const std::vector<LogTarget>& targets, const ContainerLogsWanted& wanted,
                                               std::size_t max_bytes, const std::stop_token& stop) const {
  const std::size_t count = targets.size();
  std::vector<AgentLines> gathered(count);
  std::atomic<std::size_t> next = 0;
  std::vector<std::jthread> threads;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) gathered[i] = ask(targets[i], wanted, max_bytes, stop);
  };
  for (std::size_t i = 1; i < std::min(count, kAgentsAtOnce); ++i) threads.emplace_back(work);
  work();
  threads.clear();  // joins
  return gathered;
}

Result<ContainerLogPage> ContainerLogs::read(const LogTargets& targets, const ContainerLogsWanted& wanted,
                                             const std::stop_token& stop) const {
  if (targets.ended) {
    const DeploymentRow& row = *targets.ended;
    auto kept = row.log_tail ? parse_log_tail(*row.log_tail, row.id.str()) : std::nullopt;
    if (!kept) return fail(ErrorCode::logs_gone);
    return std::move(*kept);
  }
  const std::size_t count = targets.live.size();
  ContainerLogPage page{.items = {}, .truncated = targets.cut, .dropped = 0, .errors = {}};
  if (count == 0) return page;
  std::vector<AgentLines> gathered = ask_all(targets.live, wanted, kMaxBytes / count, stop);
  struct Found {
    UtcTime at;
    std::size_t target;
    std::size_t record;
  };
  std::vector<Found> found;
  for (std::size_t i = 0; i < count; ++i) {
    const AgentLines& lines = gathered[i];
    if (lines.failure)
      page.errors.push_back(
          {.agent_id = targets.live[i].agent.id.str(), .code = std::string(slug(lines.failure->code))});
    page.truncated |= lines.shortened;
    page.dropped += lines.answer.dropped;
    for (std::size_t r = 0; r < lines.answer.records.size(); ++r) found.push_back({lines.answer.records[r].at, i, r});
  }
  if (page.errors.size() == count && found.empty()) return fail(nobody_answered(gathered));
  std::ranges::sort(found, {}, [&](const Found& each) {
    return std::tuple(each.at, std::string_view(targets.live[each.target].agent.id.str()), each.record);
  });
  const auto most = static_cast<std::size_t>(wanted.tail);
  const std::size_t skipped = found.size() > most ? found.size() - most : 0;
  page.items.reserve(found.size() - skipped);
  for (std::size_t i = skipped; i < found.size(); ++i)
    page.items.push_back(shown_line(std::move(gathered[found[i].target].answer.records[found[i].record]),
                                    targets.live[found[i].target]));
  return page;
}

}  // namespace ee::cp
