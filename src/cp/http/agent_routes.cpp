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

/// Which of the two families of routes a request came by.
enum class Family : std::uint8_t { all, mine };

AgentScope scope_of(const Call& call, Family family, Scope scope) {
  return family == Family::mine ? own_agents(call.principal, scope) : visible_agents(call.principal, scope);
}

/// Of a change. Errors: `repository_not_allowed`.
Result<AgentScope> write_scope_of(const AgentRoutes& context, const Call& call, Family family, bool destructive) {
  if (auto may = check_workflow_may_write(call.principal); !may) return std::unexpected(may.error());
  AgentScope scope = scope_of(call, family, Scope::agents);
  scope.destroys_no_github_owned = destructive && !call.principal.is_admin &&
                                   call.principal.kind != PrincipalKind::oidc && context.destructive_requires_oidc();
  return scope;
}

/// An agent as this caller is shown it.
net::Response agent_answer(const Result<AdminAgentObject>& agent, const AgentScope& scope, int status,
                           const std::string& request_id) {
  if (!agent) return error_answer(agent.error(), request_id);
  if (scope.all) return json_answer(status, *agent);
  return json_answer<AgentObject>(status, *agent);
}

template <class T>
Result<T> body_of(const Call& call) {
  return json::read<T>(call.request.body.empty() ? "{}" : call.request.body);
}

net::Response get_agents(AgentRoutes& context, const Call& call, Family family) {
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
  const AgentScope scope = scope_of(call, family, Scope::read);
  auto found = context.agents.list(scope, *filter, *page);
  if (!found) return error_answer(found.error(), request_id);
  auto next = context.cursors.encode("agents", found->next);
  if (scope.all)
    return json_answer(200, AdminAgentPage{.items = std::move(found->items), .next_cursor = std::move(next)});
  AgentPage shown{.items = {}, .next_cursor = std::move(next)};
  for (AdminAgentObject& agent : found->items) shown.items.push_back(std::move(static_cast<AgentObject&>(agent)));
  return json_answer(200, shown);
}

net::Response get_agent(AgentRoutes& context, const Call& call, Family family) {
  // An agent's credential is that of the id in the path: the access rule compares them.
  if (call.principal.kind == PrincipalKind::agent)
    return agent_answer(context.agents.get(AgentScope::everything(), id_of(call)), AgentScope(), 200,
                        call.request.request_id);
  const AgentScope scope = scope_of(call, family, Scope::read);
  return agent_answer(context.agents.get(scope, id_of(call)), scope, 200, call.request.request_id);
}

net::Response delete_agent(AgentRoutes& context, const Call& call, Family family) {
  const auto query = Query::parse(call.request.query, {"force"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto force = query->flag("force");
  if (!force) return error_answer(force.error(), call.request.request_id);
  const auto scope = write_scope_of(context, call, family, true);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  const auto removed = context.agents.remove(*scope, id_of(call), force->value_or(false),
                                             scope->all ? DeleteReason::admin : DeleteReason::owner, actor_of(call));
  if (!removed) return error_answer(removed.error(), call.request.request_id);
  return json_answer(202, AgentDeleting{.id = id_of(call).str(), .status = "deleting"});
}

net::Response reset_agent(AgentRoutes& context, const Call& call, Family family) {
  const auto wanted = body_of<AgentResetRequest>(call);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto scope = write_scope_of(context, call, family, true);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  return agent_answer(context.agents.reset(*scope, id_of(call), wanted->stop_workload.value_or(true), actor_of(call)),
                      *scope, 202, call.request.request_id);
}

net::Response undeploy_agent(AgentRoutes& context, const Call& call, Family family) {
  const auto wanted = body_of<AgentUndeployRequest>(call);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto scope = write_scope_of(context, call, family, true);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  const auto changed = context.agents.undeploy(*scope, id_of(call), wanted->reason.value_or(""), actor_of(call));
  if (!changed) return error_answer(changed.error(), call.request.request_id);
  return json_answer(*changed ? 202 : 200, AgentUndeployed{.changed = *changed});
}

net::Response drain(AgentRoutes& context, const Call& call, Family family, bool draining) {
  const auto wanted = body_of<AgentDrainRequest>(call);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto scope = write_scope_of(context, call, family, false);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  const DrainRequest request{
      .draining = draining, .reason = wanted->reason.value_or(""), .migrate = wanted->migrate.value_or(false)};
  return agent_answer(context.agents.set_draining(*scope, id_of(call), request, actor_of(call)), *scope, 200,
                      call.request.request_id);
}
net::Response drain_agent(AgentRoutes& context, const Call& call, Family family) {
  return drain(context, call, family, true);
}
net::Response undrain_agent(AgentRoutes& context, const Call& call, Family family) {
  return drain(context, call, family, false);
}

net::Response patch_owner(AgentRoutes& context, const Call& call, Family family) {
  const auto wanted = json::read<AgentOwnerRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto version = if_match_of(call.request);
  if (!version) return error_answer(version.error(), call.request.request_id);
  const auto scope = write_scope_of(context, call, family, false);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  OwnerChange change{.github_owner_id = wanted->github_owner_id,
                     .github_owner = wanted->github_owner,
                     .placement_scope = wanted->placement_scope,
                     .if_version = *version};
  if (wanted->account_id)
    change.account_id = *wanted->account_id ? std::optional(AccountId(**wanted->account_id)) : std::nullopt;
  return agent_answer(context.agents.set_owner(*scope, id_of(call), change, actor_of(call)), *scope, 200,
                      call.request.request_id);
}

net::Response attest_agent(AgentRoutes& context, const Call& call, Family family) {
  const auto scope = write_scope_of(context, call, family, false);
  if (!scope) return error_answer(scope.error(), call.request.request_id);
  return agent_answer(context.agents.request_attestation(*scope, id_of(call), actor_of(call)), *scope, 202,
                      call.request.request_id);
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

/// An agent as owners are shown it, or as administrators are.
SchemaOf either_agent() {
  return [](json::SchemaSet& set) {
    return R"({"anyOf":[)" + answer_schema<AgentObject>()(set) + "," + answer_schema<AdminAgentObject>()(set) + "]}";
  };
}
SchemaOf either_page() {
  return [](json::SchemaSet& set) {
    return R"({"anyOf":[)" + answer_schema<AgentPage>()(set) + "," + answer_schema<AdminAgentPage>()(set) + "]}";
  };
}

/// One route of both families, or of the first alone.
struct Pattern {
  std::string_view all;
  std::string_view mine = {};
};

class Table {
 public:
  Table(std::vector<Route>& routes, AgentRoutes& context) : routes_(routes), context_(context) {}

  void add(Pattern pattern, const Route& route, net::Response (*handler)(AgentRoutes&, const Call&, Family)) {
    put(pattern.all, route, handler, Family::all);
    if (!pattern.mine.empty()) put(pattern.mine, route, handler, Family::mine);
  }

 private:
  void put(std::string_view pattern, Route route, net::Response (*handler)(AgentRoutes&, const Call&, Family),
           Family family) {
    route.pattern = pattern;
    if (family == Family::mine) {
      route.access = Access::owner;
      route.doc.summary = "Own agents only: " + route.doc.summary;
    }
    route.doc.tag = "agents";
    AgentRoutes* const context = &context_;
    route.handle = [handler, context, family](const Call& call) { return handler(*context, call, family); };
    routes_.push_back(std::move(route));
  }

  std::vector<Route>& routes_;
  AgentRoutes& context_;
};

/// A change; the handler, pattern and tag come later.
Route change(std::string_view method, std::string summary, SchemaOf request, std::vector<DocumentedAnswer> answers) {
  return {
      .method = method,
      .pattern = {},
      .access = Access::admin_or_owner,
      .rate = RateClass::write,
      .handle = {},
      .doc = {.summary = std::move(summary), .tag = {}, .request = std::move(request), .answers = std::move(answers)},
      .scope = Scope::agents};
}

void add_reads(Table& table) {
  table.add({.all = "/api/v1/agents", .mine = "/api/v1/me/agents"},
            {.method = "GET",
             .pattern = {},
             .access = Access::admin_or_owner,
             .rate = RateClass::read,
             .handle = {},
             .doc = {.summary = "Agents, by id.",
                     .tag = {},
                     .query = list_parameters(),
                     .answers = {{200, "A page.", either_page()}}},
             .shed = net::Shed::first},
            get_agents);
  Route one{.method = "GET",
            .pattern = {},
            .access = Access::agent_admin_or_owner,
            .rate = RateClass::read,
            .handle = {},
            .doc = {.summary = "One agent; an agent may read itself.",
                    .tag = {},
                    .answers = {{200, "The agent.", either_agent()}}}};
  table.add({.all = "/api/v1/agents/{agent_id}", .mine = "/api/v1/me/agents/{agent_id}"}, one, get_agent);
}

void add_changes(Table& table) {
  Route remove = change("DELETE", "Deletes an agent and everything outside that belongs to it.", {},
                        {{202, "Its clean-up has begun.", answer_schema<AgentDeleting>()}});
  remove.doc.query = {{"force", R"({"type":"boolean","default":false})", "Also with an active deployment."}};
  table.add({.all = "/api/v1/agents/{agent_id}", .mine = "/api/v1/me/agents/{agent_id}"}, remove, delete_agent);
  table.add({.all = "/api/v1/agents/{agent_id}/reset", .mine = "/api/v1/me/agents/{agent_id}/reset"},
            change("POST", "Back to a clean state; never makes a bad attestation good.",
                   request_schema<AgentResetRequest>(), {{202, "The agent as it is now.", either_agent()}}),
            reset_agent);
  table.add({.all = "/api/v1/agents/{agent_id}/undeploy", .mine = "/api/v1/me/agents/{agent_id}/undeploy"},
            change("POST", "Ends the agent's deployment.", request_schema<AgentUndeployRequest>(),
                   {{202, "It was asked to stop.", answer_schema<AgentUndeployed>()},
                    {200, "It runs none.", answer_schema<AgentUndeployed>()}}),
            undeploy_agent);
  table.add({.all = "/api/v1/agents/{agent_id}/drain", .mine = "/api/v1/me/agents/{agent_id}/drain"},
            change("POST", "Gives it no new deployments; what runs goes on, or moves if asked.",
                   request_schema<AgentDrainRequest>(), {{200, "The agent as it is now.", either_agent()}}),
            drain_agent);
  table.add({.all = "/api/v1/agents/{agent_id}/undrain", .mine = "/api/v1/me/agents/{agent_id}/undrain"},
            change("POST", "Gives it deployments again.", request_schema<AgentDrainRequest>(),
                   {{200, "The agent as it is now.", either_agent()}}),
            undrain_agent);
  table.add({.all = "/api/v1/agents/{agent_id}/owner"},
            change("PATCH", "Changes owner or placement; owners change a part only.",
                   request_schema<AgentOwnerRequest>(), {{200, "The agent as it is now.", either_agent()}}),
            patch_owner);
  table.add({.all = "/api/v1/agents/{agent_id}/attest"},
            change("POST", "Asks the agent for fresh evidence.", {}, {{202, "It will be asked.", either_agent()}}),
            attest_agent);
}

}  // namespace

void add_agent_routes(std::vector<Route>& table, AgentRoutes& context) {
  Table routes(table, context);
  add_reads(routes);
  add_changes(routes);
}

}  // namespace ee::cp
