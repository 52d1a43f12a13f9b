#include "cp/http/agent_routes.h"

#include "common/node_size.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

AgentId id_of(const Call& call) { return AgentId(std::string(call.request.param("agent_id"))); }

template <class E>
Result<void> read_enum(const Query& query, std::string_view name, std::optional<E>& to) {
  const auto text = query.text(name);
  if (!text) return {};
  to = enum_of<E>(*text);
  if (!to) return fail(bad_query(name, "not_in_enum", "not a value of this field"));
  return {};
}

Result<AgentFilter> filter_of(const Query& query) {
  AgentFilter filter;
  if (auto done = read_enum(query, "status", filter.status); !done) return std::unexpected(done.error());
  if (auto done = read_enum(query, "health_status", filter.health_status); !done) return std::unexpected(done.error());
  if (auto done = read_enum(query, "attestation_state", filter.attestation_state); !done)
    return std::unexpected(done.error());
  const auto draining = query.flag("draining");
  if (!draining) return std::unexpected(draining.error());
  filter.draining = *draining;
  filter.node_size = query.text("node_size");
  filter.datacenter = query.text("datacenter");
  filter.vm_name_prefix = query.text("vm_name");
  if (const auto account = query.text("account_id")) {
    if (!is_uuid(*account)) return fail(bad_query("account_id", "bad_format", "a UUID"));
    filter.account_id = AccountId(*account);
  }
  if (filter.node_size && !is_node_size_name(*filter.node_size))
    return fail(bad_query("node_size", "bad_format", "a node size's name"));
  if (filter.vm_name_prefix && filter.vm_name_prefix->size() > 63)
    return fail(bad_query("vm_name", "too_long", "at most 63 characters"));
  if (filter.datacenter && filter.datacenter->size() > 128)
    return fail(bad_query("datacenter", "too_long", "at most 128 characters"));
  return filter;
}

net::Response get_agents(AgentRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query =
      Query::parse(call.request.query, {"status", "health_status", "attestation_state", "draining", "node_size",
                                        "datacenter", "vm_name", "account_id", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto filter = filter_of(*query);
  if (!filter) return error_answer(filter.error(), request_id);
  const auto page =
      context.cursors.page_request("agents", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.agents.list(AgentScope::everything(), *filter, *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(
      200, AgentPage{.items = std::move(found->items), .next_cursor = context.cursors.encode("agents", found->next)});
}

net::Response get_agent(AgentRoutes& context, const Call& call) {
  const auto agent = context.agents.get(AgentScope::everything(), id_of(call));
  if (!agent) return error_answer(agent.error(), call.request.request_id);
  if (call.principal.kind == PrincipalKind::agent) return json_answer<AgentObject>(200, *agent);
  return json_answer(200, *agent);
}

net::Response delete_agent(AgentRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"force"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto force = query->flag("force");
  if (!force) return error_answer(force.error(), call.request.request_id);
  const auto removed = context.agents.remove(AgentScope::everything(), id_of(call), force->value_or(false),
                                             DeleteReason::admin, actor_of(call));
  if (!removed) return error_answer(removed.error(), call.request.request_id);
  return json_answer(202, AgentDeleting{.id = id_of(call).str(), .status = "deleting"});
}

net::Response reset_agent(AgentRoutes& context, const Call& call) {
  const auto wanted = json::read<AgentResetRequest>(call.request.body.empty() ? "{}" : call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(
      context.agents.reset(AgentScope::everything(), id_of(call), wanted->stop_workload.value_or(true), actor_of(call)),
      202, call.request.request_id);
}

net::Response undeploy_agent(AgentRoutes& context, const Call& call) {
  const auto wanted = json::read<AgentUndeployRequest>(call.request.body.empty() ? "{}" : call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto changed =
      context.agents.undeploy(AgentScope::everything(), id_of(call), wanted->reason.value_or(""), actor_of(call));
  if (!changed) return error_answer(changed.error(), call.request.request_id);
  return json_answer(*changed ? 202 : 200, AgentUndeployed{.changed = *changed});
}

std::vector<QueryParameter> list_parameters() {
  const std::string text = R"({"type":"string"})";
  return {
      {"status",
       R"({"type":"string","enum":["undeployed","deploying","deployed","undeploying","quarantined","deleting","deleted"]})",
       "Life cycle; without it tombstones are left out."},
      {"health_status", R"({"type":"string","enum":["unknown","healthy","unhealthy"]})", "By heartbeats."},
      {"attestation_state", R"({"type":"string","enum":["verified","stale","failed"]})", "By evidence."},
      {"draining", R"({"type":"boolean"})", "Takes no new deployments."},
      {"node_size", text, "Exactly this size."},
      {"datacenter", text, "Exactly this datacenter."},
      {"vm_name", text, "Names that begin so."},
      {"account_id", R"({"type":"string","format":"uuid"})", "Of this owner."},
      {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
      {"cursor", text, "`next_cursor` of the page before."}};
}

}  // namespace

void add_agent_routes(std::vector<Route>& table, AgentRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AgentRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "agents";
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/agents",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_agents),
                   .doc = {.summary = "Agents, by id.",
                           .tag = tag,
                           .query = list_parameters(),
                           .answers = {{200, "A page.", answer_schema<AgentPage>()}}},
                   .shed = net::Shed::first});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/agents/{agent_id}",
                   .access = Access::agent_or_admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_agent),
                   .doc = {.summary = "One agent; an agent may read itself.",
                           .tag = tag,
                           .answers = {{200, "The agent.", answer_schema<AdminAgentObject>()}}}});
  table.push_back(
      {.method = "DELETE",
       .pattern = "/api/v1/agents/{agent_id}",
       .access = Access::admin,
       .rate = RateClass::admin,
       .handle = bound(delete_agent),
       .doc = {.summary = "Deletes an agent and everything outside that belongs to it.",
               .tag = tag,
               .query = {{"force", R"({"type":"boolean","default":false})", "Also with an active deployment."}},
               .answers = {{202, "Its clean-up has begun.", answer_schema<AgentDeleting>()}}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/reset",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(reset_agent),
                   .doc = {.summary = "Back to a clean state; never makes a bad attestation good.",
                           .tag = tag,
                           .request = request_schema<AgentResetRequest>(),
                           .answers = {{202, "The agent as it is now.", answer_schema<AdminAgentObject>()}}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/undeploy",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(undeploy_agent),
                   .doc = {.summary = "Ends the agent's deployment.",
                           .tag = tag,
                           .request = request_schema<AgentUndeployRequest>(),
                           .answers = {{202, "It was asked to stop.", answer_schema<AgentUndeployed>()},
                                       {200, "It runs none.", answer_schema<AgentUndeployed>()}}}});
}

}  // namespace ee::cp
