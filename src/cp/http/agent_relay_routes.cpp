#include "cp/http/agent_relay_routes.h"

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/log_parameters.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxContainer = 128;
constexpr std::int64_t kMaxTail = 5000;
constexpr std::int64_t kMaxLogBytes = 1024LL * 1024;
/// The ten seconds of the agent, and what comes before and after.
constexpr Milliseconds kRelayTimeout{15'000};

AgentId id_of(const Call& call) { return AgentId(std::string(call.request.param("agent_id"))); }

AgentScope scope_of(const Call& call, bool mine, Scope scope) {
  return mine ? own_agents(call.principal, scope) : visible_agents(call.principal, scope);
}

Result<AgentLogsWanted> logs_wanted(const net::Request& request) {
  const auto query = Query::parse(request.query, {"container", "since", "tail", "max_bytes"});
  if (!query) return std::unexpected(query.error());
  AgentLogsWanted wanted{.container = query->text("container").value_or("")};
  if (wanted.container.size() > kMaxContainer) return fail(bad_query("container", "too_long", "at most 128 bytes"));
  const auto since = log_time_of(*query, "since");
  if (!since) return std::unexpected(since.error());
  if (*since) wanted.since = (*since)->for_agent();
  const auto tail = number_of(*query, "tail", kMaxTail, wanted.tail);
  if (!tail) return std::unexpected(tail.error());
  const auto bytes = number_of(*query, "max_bytes", kMaxLogBytes, kMaxLogBytes);
  if (!bytes) return std::unexpected(bytes.error());
  wanted.tail = *tail;
  wanted.max_bytes = static_cast<std::size_t>(*bytes);
  return wanted;
}

net::Response get_logs(AgentRelayRoutes& context, const Call& call, bool mine) {
  const auto wanted = logs_wanted(call.request);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.relay.logs(scope_of(call, mine, Scope::read), id_of(call), *wanted, call.request.stop), 200,
                   call.request.request_id);
}

net::Response get_stats(AgentRelayRoutes& context, const Call& call, bool mine) {
  const auto query = Query::parse(call.request.query, {"live"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto live = query->flag("live");
  if (!live) return error_answer(live.error(), call.request.request_id);
  const auto stats =
      context.relay.stats(scope_of(call, mine, Scope::read), id_of(call), live->value_or(false), call.request.stop);
  return stats ? json_text(200, *stats) : error_answer(stats.error(), call.request.request_id);
}

net::Response post_console_access(AgentRelayRoutes& context, const Call& call, bool mine) {
  const std::string& request_id = call.request.request_id;
  const auto wanted = json::read<ConsoleAccessRequest>(call.request.body.empty() ? "{}" : call.request.body);
  if (!wanted) return error_answer(wanted.error(), request_id);
  if (auto may = check_workflow_may_write(call.principal); !may) return error_answer(may.error(), request_id);
  const auto issued =
      context.console.issue(call.principal, scope_of(call, mine, Scope::agents), id_of(call), *wanted, actor_of(call));
  net::Response response = answer_of(issued, 201, request_id);
  response.sensitive = true;
  return response;
}

std::string stats_schema(json::SchemaSet& set) {
  return R"({"type":"object","required":["agent_id","live","at","stats"],"properties":{)"
         R"("agent_id":{"type":"string","format":"uuid"},"live":{"type":"boolean"},)"
         R"("at":{"type":["string","null"],"format":"date-time"},"stats":{"anyOf":[)" +
         json::schema<agent_api::HostStats>(set, json::SchemaUse::answer) + R"(,{"type":"object"},{"type":"null"}]}}})";
}

Route read(std::string summary, std::vector<QueryParameter> query, DocumentedAnswer answer) {
  return {.method = "GET",
          .pattern = {},
          .access = Access::admin_or_owner,
          .rate = RateClass::agent_relay,
          .handle = {},
          .doc = {.summary = std::move(summary),
                  .tag = "agents",
                  .query = std::move(query),
                  .answers = {std::move(answer)}},
          .outside = true,
          .timeout = kRelayTimeout};
}

}  // namespace

void add_agent_relay_routes(std::vector<Route>& table, AgentRelayRoutes& context) {
  const auto add = [&](std::string_view all, std::string_view own, const Route& route,
                       net::Response (*handler)(AgentRelayRoutes&, const Call&, bool)) {
    for (const bool mine : {false, true}) {
      Route made = route;
      made.pattern = mine ? own : all;
      if (mine) made.access = Access::owner;
      made.handle = [handler, &context, mine](const Call& call) { return handler(context, call, mine); };
      table.push_back(std::move(made));
    }
  };
  const std::string text = R"({"type":"string"})";
  const std::vector<QueryParameter> which = {
      {"container", text, "One container; `_agent`: the agent itself."},
      {"since", text, "A time, or a span such as `5m`."},
      {"tail", R"({"type":"integer","minimum":1,"maximum":5000,"default":200})", "The newest lines."},
      {"max_bytes", R"({"type":"integer","minimum":1,"maximum":1048576,"default":1048576})",
       "Older lines that do not fit are left out."}};
  add("/api/v1/agents/{agent_id}/logs", "/api/v1/me/agents/{agent_id}/logs",
      read("Lines of what the agent runs, for the account of the deployment; of the agent itself for administrators.",
           which, {200, "The lines, the oldest first.", answer_schema<AgentLogs>()}),
      get_logs);
  add("/api/v1/agents/{agent_id}/stats", "/api/v1/me/agents/{agent_id}/stats",
      read("The agent's last statistics, or what it says now.",
           {{"live", R"({"type":"boolean","default":false})", "Asks the agent."}},
           {200, "The statistics; null when there are none yet.", stats_schema}),
      get_stats);
  Route console{.method = "POST",
                .pattern = {},
                .access = Access::admin_or_owner,
                .rate = RateClass::write,
                .handle = {},
                .doc = {.summary = "A short-lived token for the agent's own API.",
                        .tag = "agents",
                        .request = request_schema<ConsoleAccessRequest>(),
                        .answers = {{201, "The token, and where it counts.", answer_schema<ConsoleAccessAnswer>()}}},
                .scope = Scope::agents};
  add("/api/v1/agents/{agent_id}/console-access", "/api/v1/me/agents/{agent_id}/console-access", console,
      post_console_access);
}

}  // namespace ee::cp
