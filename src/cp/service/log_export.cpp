#include "cp/service/log_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <map>
#include <utility>

#include "common/json.h"
#include "common/redact.h"
#include "cp/store/agent_store.h"

namespace ee::cp {
namespace {

constexpr std::size_t kPage = 500;
constexpr std::int64_t kEvents = 500;

/// A deployment without its environment, its secrets, its claims and what its containers wrote.
struct ExportedDeployment {
  std::string type = "deployment";
  DeploymentId id;
  std::string group_id;
  AccountId account_id;
  std::string service_id;
  DeploymentState state = DeploymentState::pending;
  std::optional<DeploymentState> final_state;
  std::optional<std::string> termination_reason;
  std::optional<std::string> failure_code;
  std::optional<std::string> failure_detail;
  std::optional<AgentId> agent_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t placement_attempts = 0;
  std::int64_t current_revision = 1;
  std::int64_t target_revision = 1;
  std::string node_size;
  DeploymentHealth health = DeploymentHealth::unknown;
  std::optional<std::string> phase;
  UtcTime created_at;
  UtcTime updated_at;
  std::optional<UtcTime> started_at;
  std::optional<UtcTime> ended_at;
};
BOOST_DESCRIBE_STRUCT(ExportedDeployment, (),
                      (type, id, group_id, account_id, service_id, state, final_state, termination_reason, failure_code,
                       failure_detail, agent_id, assignment_epoch, placement_attempts, current_revision,
                       target_revision, node_size, health, phase, created_at, updated_at, started_at, ended_at))

struct ExportedEvent {
  std::string type = "event";
  DeploymentId deployment_id;
  std::int64_t seq = 0;
  UtcTime at;
  std::string event;
  std::optional<DeploymentState> from_state;
  std::optional<DeploymentState> to_state;
  std::string actor;
  std::optional<std::string> reason;
  boost::json::value detail;
  std::optional<std::string> request_id;
};
BOOST_DESCRIBE_STRUCT(ExportedEvent, (),
                      (type, deployment_id, seq, at, event, from_state, to_state, actor, reason, detail, request_id))

struct ExportError {
  std::string part;
  std::optional<std::string> deployment_id;
  std::optional<std::string> agent_id;
  std::string code;
};
BOOST_DESCRIBE_STRUCT(ExportError, (), (part, deployment_id, agent_id, code))

struct WantedView {
  UtcTime since;
  std::optional<UtcTime> until;
  std::string min_level;
  std::vector<std::string> deployment_ids;
  std::vector<std::string> include;
  std::string format;
};
BOOST_DESCRIBE_STRUCT(WantedView, (), (since, until, min_level, deployment_ids, include, format))

ExportedDeployment exported(const DeploymentRow& row) {
  return {.id = row.id,
          .group_id = row.group_id,
          .account_id = row.account_id,
          .service_id = row.service_id,
          .state = row.state,
          .final_state = row.final_state,
          .termination_reason = row.termination_reason,
          .failure_code = row.failure_code,
          .failure_detail = row.failure_detail ? std::optional(scrub(*row.failure_detail)) : std::nullopt,
          .agent_id = row.agent_id,
          .assignment_epoch = row.assignment_epoch,
          .placement_attempts = row.placement_attempts,
          .current_revision = row.current_revision,
          .target_revision = row.target_revision,
          .node_size = row.node_size,
          .health = row.health,
          .phase = row.phase,
          .created_at = row.created_at,
          .updated_at = row.updated_at,
          .started_at = row.started_at,
          .ended_at = row.ended_at};
}

/// The lines of one deployment, by container.
using ContainerLines = std::map<std::string, std::vector<ContainerLogLine>>;

ContainerLines by_container(AgentLogAnswer answer, const LogTarget& target) {
  ContainerLines lines;
  for (AgentLogRecord& record : answer.records) {
    std::string container = record.line.container;
    lines[std::move(container)].push_back(shown_line(std::move(record), target));
  }
  return lines;
}

ContainerLines by_container(std::optional<ContainerLogPage> kept) {
  ContainerLines lines;
  if (!kept) return lines;
  // The name is a path here, and came from an agent.
  for (ContainerLogLine& line : kept->items)
    lines[is_dns_label(line.container) ? line.container : "unnamed"].push_back(std::move(line));
  return lines;
}

ExportedEvent exported(const DeploymentEventRow& row) {
  auto detail = json::parse(row.detail).value_or(boost::json::value(nullptr));
  scrub(detail);
  return {.deployment_id = row.deployment_id,
          .seq = row.seq,
          .at = row.at,
          .event = row.kind,
          .from_state = row.from_state,
          .to_state = row.to_state,
          .actor = row.actor,
          .reason = row.reason,
          .detail = std::move(detail),
          .request_id = row.request_id};
}

}  // namespace

/// One export under way.
struct LogExport::Run {
  const ExportWanted& wanted;
  ExportWriter& writer;
  const std::stop_token& stop;

  bool going() const { return !stop.stop_requested() && writer.stopped() == ExportStop::none; }
  void error(std::string part, const Error& error, std::optional<std::string> deployment = {},
             std::optional<std::string> agent = {}) const {
    writer.error(json::write(ExportError{.part = std::move(part),
                                         .deployment_id = std::move(deployment),
                                         .agent_id = std::move(agent),
                                         .code = std::string(slug(error.code))}));
  }
};

std::string ExportWanted::json() const {
  WantedView view{.since = since,
                  .until = until,
                  .min_level = std::string(log::to_string(min_level)),
                  .deployment_ids = {},
                  .include = {},
                  .format = archive ? "tar.gz" : "ndjson"};
  for (const DeploymentId& id : deployments) view.deployment_ids.push_back(id.str());
  for (const auto& [wanted, name] : {std::pair(control_plane, "control_plane"), std::pair(containers, "containers"),
                                     std::pair(deployment_rows, "deployments"), std::pair(agents, "agents"),
                                     std::pair(jobs, "jobs"), std::pair(settings, "settings")})
    if (wanted) view.include.emplace_back(name);
  return json::write(view);
}

Result<void> LogExport::audit(const Actor& actor, const ExportWanted& wanted) {
  const auto some = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const bool one = wanted.deployments.size() == 1;
    const auto written = audit_.append(tx,
                                       {.actor = actor.name,
                                        .action = "logs_exported",
                                        .object_type = one ? std::optional<std::string>("deployment") : std::nullopt,
                                        .object_id = one ? some(wanted.deployments.front().str()) : std::nullopt,
                                        .request_id = some(actor.request_id),
                                        .client_address = some(actor.client_address),
                                        .detail = wanted.json()},
                                       parts_.clock.now(), parts_.random);
    if (!written) return std::unexpected(written.error());
    return {};
  });
}

std::string LogExport::file_name(const ExportWanted& wanted) const {
  std::string at = to_rfc3339(parts_.clock.now()).substr(0, 19);
  std::erase_if(at, [](char c) { return c == '-' || c == ':'; });
  return "easyenclave-logs-" + at + "Z" + (wanted.archive ? ".tar.gz" : ".ndjson");
}

void LogExport::run(const ExportWanted& wanted, ExportWriter& writer, const std::stop_token& stop) const {
  Run run{.wanted = wanted, .writer = writer, .stop = stop};
  if (wanted.control_plane && run.going()) control_plane(run);
  if (wanted.deployment_rows && run.going()) deployment_rows(run);
  if (wanted.agents && run.going()) agents(run);
  for (const auto& [is_wanted, name, objects] :
       {std::tuple(wanted.jobs, "jobs", &parts_.jobs), std::tuple(wanted.settings, "settings", &parts_.settings)}) {
    if (!is_wanted || !run.going()) continue;
    const auto found = (*objects)();
    if (found)
      (void)writer.document({.kind = name, .path = std::string(name) + ".json"}, *found);
    else
      run.error(name, found.error());
  }
  if (wanted.containers && run.going()) containers(run);
  if (stop.stop_requested()) return;  // it stays without its end
  writer.finish(fmt::format(R"({{"replica_id":{},"version":{},"made_at":"{}","filters":{}}})",
                            json::quote(parts_.replica), json::quote(parts_.version), to_rfc3339(parts_.clock.now()),
                            wanted.json()));
}

void LogExport::control_plane(Run& run) const {
  const ExportPlace place{.kind = "control_plane", .path = "control-plane.ndjson"};
  LogFilter filter{.min_level = run.wanted.min_level, .since = run.wanted.since, .until = run.wanted.until};
  const std::uint64_t end = parts_.buffer.next_seq();  // what the export itself causes is not followed
  std::optional<std::uint64_t> after;
  for (bool more = true; more && run.going();) {
    const LogBuffer::Page page = parts_.buffer.page(filter, after, kPage, true);
    more = page.more;
    for (const LogEntryPtr& entry : page.items) {
      if (entry->seq >= end) return;
      after = entry->seq;
      const auto& only = run.wanted.deployments;
      const auto names = [&](const DeploymentId& id) { return id.str() == entry->deployment_id; };
      if (!only.empty() && std::ranges::none_of(only, names)) continue;
      if (!run.writer.line(place, entry->json())) return;
    }
  }
}

/// False: the export is over.
bool LogExport::each_deployment(Run& run, const DeploymentFilter& filter,
                                const std::function<bool(const DeploymentRow&)>& use) const {
  if (!run.wanted.deployments.empty()) {
    for (const DeploymentId& id : run.wanted.deployments) {
      const auto row =
          parts_.database.read<std::optional<DeploymentRow>>([&](db::Transaction& tx) { return rows_.get(tx, id); });
      if (!row)
        run.error("deployments", row.error(), id.str());
      else if (*row && !use(**row))
        return false;
      if (!run.going()) return false;
    }
    return true;
  }
  PageRequest page{.limit = PageRequest::kMaxLimit};
  while (run.going()) {
    const auto rows =
        parts_.database.read<Page<DeploymentRow>>([&](db::Transaction& tx) { return rows_.list(tx, filter, page); });
    if (!rows) {
      run.error("deployments", rows.error());
      return true;
    }
    for (const DeploymentRow& row : rows->items)
      if (!use(row)) return false;
    if (!rows->next) return true;
    page.after = rows->next;
  }
  return false;
}

bool LogExport::deployment(Run& run, const DeploymentRow& row) const {
  const ExportPlace place{.kind = "deployments", .path = "deployments.ndjson"};
  const bool named = !run.wanted.deployments.empty();
  if (!named && row.ended_at && *row.ended_at < run.wanted.since) return run.going();
  if (!run.writer.line(place, json::write(exported(row)))) return false;
  for (std::int64_t after = 0; run.going();) {
    const auto events = parts_.database.read<std::vector<DeploymentEventRow>>(
        [&](db::Transaction& tx) { return events_.list(tx, row.id, after, kEvents); });
    if (!events) {
      run.error("deployments", events.error(), row.id.str());
      return run.going();
    }
    for (const DeploymentEventRow& event : *events) {
      after = event.seq;
      if (event.at < run.wanted.since || (run.wanted.until && event.at >= *run.wanted.until)) continue;
      if (!run.writer.line(place, json::write(exported(event)))) return false;
    }
    if (static_cast<std::int64_t>(events->size()) < kEvents) return run.going();
  }
  return false;
}

void LogExport::deployment_rows(Run& run) const {
  DeploymentFilter filter;
  filter.created_before = run.wanted.until;
  (void)each_deployment(run, filter, [&](const DeploymentRow& row) { return deployment(run, row); });
}

void LogExport::agents(Run& run) const {
  const ExportPlace place{.kind = "agents", .path = "agents.ndjson"};
  PageRequest page{.limit = PageRequest::kMaxLimit};
  while (run.going()) {
    const auto found = parts_.agents.list(AgentScope::everything(), {}, page);
    if (!found) return run.error("agents", found.error());
    for (const AdminAgentObject& agent : found->items)
      if (!run.writer.line(place, json::write(agent))) return;
    if (!found->next) return;
    page.after = found->next;
  }
}

/// Whom to ask for the lines of a deployment; nothing when nobody has any, or when the database does not say.
std::optional<LogTarget> LogExport::target_of(Run& run, const DeploymentRow& row) const {
  if (is_final(row.state) || !row.agent_id || !row.slot_held) return std::nullopt;
  auto agent = parts_.database.read<std::optional<AgentRow>>(
      [&](db::Transaction& tx) { return AgentStore().get(tx, *row.agent_id); });
  if (agent && *agent) return LogTarget{.deployment_id = row.id.str(), .agent = std::move(**agent)};
  run.error("containers", agent ? Error{.code = ErrorCode::agent_not_found} : agent.error(), row.id.str());
  return std::nullopt;
}

/// The lines of these deployments, in their order, each container by container. Their agents are asked at once. False:
/// the export is over.
bool LogExport::container_lines(Run& run, const std::vector<DeploymentRow>& rows) const {
  ContainerLogsWanted wanted{.since = to_rfc3339(run.wanted.since),
                             .until = run.wanted.until ? to_rfc3339(*run.wanted.until) : "",
                             .tail = ContainerLogs::kMaxTail,
                             .shorten = false};
  std::vector<LogTarget> targets;
  std::vector<std::optional<std::size_t>> target_at;
  for (const DeploymentRow& row : rows) {
    auto target = target_of(run, row);
    target_at.push_back(target ? std::optional(targets.size()) : std::nullopt);
    if (target) targets.push_back(std::move(*target));
  }
  auto given = parts_.containers.ask_all(targets, wanted, kMaxFirstAnswer, run.stop);
  wanted.shorten = true;
  for (std::size_t i = 0; i < rows.size() && run.going(); ++i) {
    const DeploymentRow& row = rows[i];
    ContainerLines lines;
    if (target_at[i]) {
      const LogTarget& target = targets[*target_at[i]];
      AgentLines from_agent = std::move(given[*target_at[i]]);
      if (from_agent.failure && from_agent.failure->code == ErrorCode::body_too_large)
        from_agent = parts_.containers.ask(target, wanted, kMaxAgentAnswer, run.stop);
      if (from_agent.failure) run.error("containers", *from_agent.failure, row.id.str(), target.agent.id.str());
      if (from_agent.shortened)
        run.error("containers", Error{.code = ErrorCode::body_too_large}, row.id.str(), target.agent.id.str());
      lines = by_container(std::move(from_agent.answer), target);
    } else if (is_final(row.state) && row.log_tail) {
      lines = by_container(parse_log_tail(*row.log_tail, row.id.str()));
    }
    const std::string folder = "containers/" + row.id.str() + "/";
    for (const auto& [container, written] : lines)
      for (const ContainerLogLine& line : written)
        if (!run.writer.line({.kind = "containers", .path = folder + container + ".ndjson"}, json::write(line)))
          return false;
  }
  return run.going();
}

void LogExport::containers(Run& run) const {
  DeploymentFilter filter;
  filter.states = {DeploymentState::assigned, DeploymentState::deploying, DeploymentState::running,
                   DeploymentState::updating, DeploymentState::stopping};
  std::size_t left = kMaxContainerDeployments;
  std::vector<DeploymentRow> together;
  const auto write_out = [&] { return container_lines(run, std::exchange(together, {})); };
  (void)each_deployment(run, filter, [&](const DeploymentRow& row) {
    if (left-- == 0) {
      run.error("containers", Error{.code = ErrorCode::body_too_large});
      return false;
    }
    together.push_back(row);
    return together.size() < ContainerLogs::kAgentsAtOnce || write_out();
  });
  if (run.going()) (void)write_out();
}

}  // namespace ee::cp
