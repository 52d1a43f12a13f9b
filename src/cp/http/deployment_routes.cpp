#include "cp/http/deployment_routes.h"

#include <algorithm>
#include <charconv>

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/deployment_calls.h"
#include "cp/http/deployment_events_source.h"
#include "cp/http/idempotent.h"
#include "cp/http/log_routes.h"
#include "cp/http/query.h"
#include "cp/http/repeated_parameter.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxBody = 256UL * 1024;
constexpr std::size_t kFollowersPerDeployment = 4;

DeploymentId id_of(const Call& call) { return DeploymentId(std::string(call.request.param("deployment_id"))); }

net::Response error_of(const Error& error, const Call& call) { return error_answer(error, call.request.request_id); }

/// `state` may stand several times; it is taken out of the query, the rest stays.
Result<std::vector<DeploymentState>> take_states(std::string& query) {
  std::vector<DeploymentState> states;
  for (const std::string& text : take_repeated(query, "state")) {
    const auto state = enum_of<DeploymentState>(text);
    if (!state) return fail(bad_query("state", "not_in_enum", "not a value of this field"));
    if (states.size() >= 16) return fail(bad_query("state", "too_many", "at most 16"));
    states.push_back(*state);
  }
  return states;
}

Result<std::optional<UtcTime>> time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<UtcTime>{};
  const auto time = parse_rfc3339(*text);
  if (!time) return fail(bad_query(name, "bad_format", "a time such as 2026-01-02T03:04:05Z"));
  return time;
}

Result<std::optional<std::string>> uuid_of(const Query& query, std::string_view name) {
  auto text = query.text(name);
  if (text && !is_uuid(*text)) return fail(bad_query(name, "bad_format", "a UUID"));
  return text;
}

Result<DeploymentFilter> filter_of(const Query& query, std::vector<DeploymentState> states, bool admin) {
  DeploymentFilter filter{.states = std::move(states)};
  for (const auto& [name, to] :
       {std::pair{"service", &filter.service}, std::pair{"app", &filter.app}, std::pair{"version", &filter.version}}) {
    *to = query.text(name);
    if (*to && (*to)->size() > 64) return fail(bad_query(name, "too_long", "at most 64 characters"));
  }
  const auto agent = uuid_of(query, "agent_id");
  if (!agent) return std::unexpected(agent.error());
  if (*agent) filter.agent_id = AgentId(**agent);
  const auto group = uuid_of(query, "group_id");
  if (!group) return std::unexpected(group.error());
  filter.group_id = *group;
  const auto account = uuid_of(query, "account_id");
  if (!account) return std::unexpected(account.error());
  if (*account && !admin) return fail(bad_query("account_id", "unknown_field", "for administrators"));
  if (*account) filter.accounts = std::vector{AccountId(**account)};
  const auto after = time_of(query, "created_after");
  if (!after) return std::unexpected(after.error());
  filter.created_after = *after;
  const auto before = time_of(query, "created_before");
  if (!before) return std::unexpected(before.error());
  filter.created_before = *before;
  return filter;
}

net::Response get_deployments(DeploymentRoutes& context, const Call& call) {
  std::string text = call.request.query;
  auto states = take_states(text);
  if (!states) return error_of(states.error(), call);
  const auto query = Query::parse(text, {"service", "app", "version", "agent_id", "group_id", "account_id",
                                         "created_after", "created_before", "limit", "cursor"});
  if (!query) return error_of(query.error(), call);
  const auto filter = filter_of(*query, std::move(*states), call.principal.is_admin);
  if (!filter) return error_of(filter.error(), call);
  const auto page = context.cursors.page_request("deployments", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_of(page.error(), call);
  auto found = context.deployments.list(call.principal, *filter, *page);
  if (!found) return error_of(found.error(), call);
  return json_answer(200, DeploymentPage{.items = std::move(found->items),
                                         .next_cursor = context.cursors.encode("deployments", found->next)});
}

net::Response get_mine(DeploymentRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"relation", "limit", "cursor"});
  if (!query) return error_of(query.error(), call);
  const auto relation = query->text("relation");
  if (relation && *relation != "deployer" && *relation != "agent_owner")
    return error_of(bad_query("relation", "not_in_enum", "deployer or agent_owner"), call);
  const auto page = context.cursors.page_request("my-deployments", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_of(page.error(), call);
  auto found = context.deployments.mine(call.principal, relation, *page);
  if (!found) return error_of(found.error(), call);
  MyDeploymentPage out{.items = {}, .next_cursor = context.cursors.encode("my-deployments", found->next)};
  for (Deployments::Mine& item : found->items)
    out.items.push_back({.relation = std::move(item.relation),
                         .deployment = std::move(item.seen.full),
                         .reduced = std::move(item.seen.reduced)});
  return json_answer(200, out);
}

net::Response get_deployment(DeploymentRoutes& context, const Call& call) {
  const auto seen = context.deployments.get(call.principal, id_of(call));
  if (!seen) return error_of(seen.error(), call);
  if (seen->reduced) return json_answer(200, *seen->reduced);
  net::Response response = json_answer(200, *seen->full);
  response.headers.push_back({"ETag", "\"" + std::to_string(seen->full->row_version) + "\""});
  return response;
}

net::Response patch_deployment(DeploymentRoutes& context, const Call& call) {
  const auto wanted = json::read<DeploymentPatch>(call.request.body);
  if (!wanted) return error_of(wanted.error(), call);
  const auto made_by = deployment_call(call);
  if (!made_by) return error_of(made_by.error(), call);
  return answer_of(context.deployments.patch(*made_by, id_of(call), *wanted), 200, call.request.request_id);
}

/// A POST whose body may be left out.
template <class T, class Do>
net::Response post_change(const Call& call, const Do& change) {
  const auto wanted = json::read<T>(call.request.body.empty() ? "{}" : call.request.body, {.max_bytes = kMaxBody});
  if (!wanted) return error_of(wanted.error(), call);
  const auto made_by = deployment_call(call);
  if (!made_by) return error_of(made_by.error(), call);
  return idempotent_answer(change(*made_by, *wanted), call.request.request_id);
}

net::Response post_stop(DeploymentRoutes& context, const Call& call) {
  return post_change<StopRequest>(call, [&](const DeploymentCall& by, const StopRequest& wanted) {
    return context.deployments.stop(by, id_of(call), wanted);
  });
}
net::Response post_upgrade(DeploymentRoutes& context, const Call& call) {
  return post_change<UpgradeRequest>(call, [&](const DeploymentCall& by, const UpgradeRequest& wanted) {
    return context.deployments.upgrade(by, id_of(call), wanted);
  });
}
net::Response post_rollback(DeploymentRoutes& context, const Call& call) {
  return post_change<RollbackRequest>(call, [&](const DeploymentCall& by, const RollbackRequest& wanted) {
    return context.deployments.rollback(by, id_of(call), wanted);
  });
}
net::Response post_redeploy(DeploymentRoutes& context, const Call& call) {
  return post_change<EmptyRequest>(call, [&](const DeploymentCall& by, const EmptyRequest&) {
    return context.deployments.redeploy(by, id_of(call));
  });
}

net::Response get_revisions(DeploymentRoutes& context, const Call& call) {
  auto found = context.deployments.revisions(call.principal, id_of(call));
  if (!found) return error_of(found.error(), call);
  return json_answer(200, RevisionPage{.items = std::move(*found), .next_cursor = {}});
}

/// A number from 0; 0 when there is no text. Nothing: it is none.
std::optional<std::int64_t> event_number(std::string_view text) {
  std::int64_t number = 0;
  if (text.empty()) return number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

net::Response follow_events(DeploymentRoutes& context, const Call& call, std::int64_t after) {
  if (call.request.method == "HEAD") return head_of_stream("text/event-stream");
  // A browser that comes back says where it was; anything else is as if it said nothing.
  const auto last = event_number(call.request.header("Last-Event-ID").value_or(""));
  after = std::max(after, last.value_or(0));
  const DeploymentId id = id_of(call);
  const auto read = [&deployments = context.deployments, principal = call.principal, id](
                        std::int64_t from, std::int64_t limit) -> Result<DeploymentEventsSource::Read> {
    // The state first: what a final one has to tell is there by then.
    const auto row = deployments.row(principal, id);
    if (!row) return std::unexpected(row.error());
    auto rows = deployments.events(principal, id, from, limit);
    if (!rows) return std::unexpected(rows.error());
    return DeploymentEventsSource::Read{.is_final = is_final(row->state), .rows = std::move(*rows)};
  };
  const auto allowed = [&deployments = context.deployments, id](const Principal& principal) {
    const auto row = deployments.row(principal, id);
    return row || row.error().code != ErrorCode::deployment_not_found;
  };
  auto opened = context.streams.open(
      {.source = std::make_unique<DeploymentEventsSource>(read, after, context.clock),
       .groups = {"events " + id.str()},
       .most_in_group = kFollowersPerDeployment,
       .still_allowed = still_allowed(context.authenticator, call, {.access = Access::admin_or_owner}, allowed)});
  return opened ? std::move(*opened) : error_of(opened.error(), call);
}

net::Response get_events(DeploymentRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"after_seq", "limit", "cursor"});
  if (!query) return error_of(query.error(), call);
  const auto given = event_number(query->text("after_seq").value_or("0"));
  if (!given) return error_of(bad_query("after_seq", "bad_format", "a number from 0"), call);
  const DeploymentId id = id_of(call);
  const std::string scope = "events " + id.str();  // another deployment's events have the same numbers
  const auto request =
      context.cursors.page_request(scope, query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!request) return error_of(request.error(), call);
  const std::int64_t after = std::max(*given, request->after ? event_number(request->after->id).value_or(0) : 0);
  auto rows = context.deployments.events(call.principal, id, after, request->limit + 1);
  if (!rows) return error_of(rows.error(), call);
  if (wants_events(call.request)) return follow_events(context, call, after);
  const auto page = page_of(std::move(*rows), request->limit, [](const DeploymentEventRow& row) {
    return PagePosition{.at = row.at, .id = std::to_string(row.seq)};
  });
  EventPage out{.items = {}, .next_cursor = context.cursors.encode(scope, page.next)};
  for (const DeploymentEventRow& row : page.items) out.items.push_back(event_object(row));
  return json_answer(200, out);
}

net::Response post_confirm_loss(DeploymentRoutes& context, const Call& call) {
  if (auto done = context.jobs.confirm_loss(actor_of(call)); !done) return error_of(done.error(), call);
  return no_content();
}

std::vector<QueryParameter> list_parameters() {
  const std::string text = R"({"type":"string"})";
  const std::string uuid = R"({"type":"string","format":"uuid"})";
  const std::string time = R"({"type":"string","format":"date-time"})";
  return {
      {"state",
       R"({"type":"string","enum":["pending","assigned","deploying","running","updating","stopping","stopped","failed","terminated"]})",
       "In this state; may stand several times."},
      {"service", text, "Behind this service."},
      {"app", text, "Of this app."},
      {"version", text, "Of this version."},
      {"agent_id", uuid, "On this agent, now or last."},
      {"group_id", uuid, "Of one request."},
      {"account_id", uuid, "Of this account; for administrators."},
      {"created_after", time, "Made after it."},
      {"created_before", time, "Made before it."},
      {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
      {"cursor", text, "`next_cursor` of the page before."}};
}

}  // namespace

void add_deployment_routes(std::vector<Route>& table, DeploymentRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(DeploymentRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "deployments";
  const auto add_read = [&](std::string_view pattern, Handler handler, RouteDoc doc,
                            Access access = Access::admin_or_owner) {
    table.push_back({.method = "GET",
                     .pattern = pattern,
                     .access = access,
                     .rate = RateClass::read,
                     .handle = std::move(handler),
                     .doc = std::move(doc)});
  };
  const auto add_write = [&](std::string_view method, std::string_view pattern, Handler handler, RouteDoc doc) {
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin_or_owner,
                     .rate = RateClass::write,
                     .handle = std::move(handler),
                     .doc = std::move(doc),
                     .scope = Scope::deploy,
                     .max_body_bytes = kMaxBody});
  };
  add_read("/api/v1/deployments", bound(get_deployments),
           {.summary = "Own deployments, newest first; all of them for administrators.",
            .tag = tag,
            .query = list_parameters(),
            .answers = {{200, "A page.", answer_schema<DeploymentPage>()}}});
  add_read("/api/v1/me/deployments", bound(get_mine),
           {.summary = "Own deployments, and those on own agents.",
            .tag = tag,
            .query = {{"relation", R"({"type":"string","enum":["deployer","agent_owner"]})", "Only these."},
                      {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                      {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
            .answers = {{200, "A page.", answer_schema<MyDeploymentPage>()}}},
           Access::owner);
  add_read("/api/v1/deployments/{deployment_id}", bound(get_deployment),
           {.summary = "One deployment; the operator of its agent sees less of it.",
            .tag = tag,
            .answers = {{200, "The deployment.", answer_schema<DeploymentObject>()}}});
  add_read("/api/v1/deployments/{deployment_id}/revisions", bound(get_revisions),
           {.summary = "What it ran and runs, oldest first.",
            .tag = tag,
            .answers = {{200, "All of them.", answer_schema<RevisionPage>()}}});
  add_read(
      "/api/v1/deployments/{deployment_id}/events", bound(get_events),
      {.summary = "What happened to it, oldest first; as events with `Accept: text/event-stream`, until it is final.",
       .tag = tag,
       .query = {{"after_seq", R"({"type":"integer","minimum":0,"default":0})", "Those after this number."},
                 {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                 {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
       .answers = {{200, "A page.", answer_schema<EventPage>()}}});
  table.back().also_answers = "text/event-stream";
  add_write("PATCH", "/api/v1/deployments/{deployment_id}", bound(patch_deployment),
            {.summary = "Changes when it ends and what happens when its agent is lost.",
             .tag = tag,
             .request = request_schema<DeploymentPatch>(),
             .answers = {{200, "The deployment.", answer_schema<DeploymentObject>()}}});
  add_write("POST", "/api/v1/deployments/{deployment_id}/stop", bound(post_stop),
            {.summary = "Ends it.",
             .tag = tag,
             .request = request_schema<StopRequest>(),
             .answers = {{202, "It stops.", answer_schema<DeploymentObject>()},
                         {200, "It was stopping already.", answer_schema<DeploymentObject>()}}});
  add_write("POST", "/api/v1/deployments/{deployment_id}/upgrade", bound(post_upgrade),
            {.summary = "Another version, compose document or configuration.",
             .tag = tag,
             .request = request_schema<UpgradeRequest>(),
             .answers = {{202, "It is being changed.", answer_schema<DeploymentObject>()}}});
  add_write("POST", "/api/v1/deployments/{deployment_id}/rollback", bound(post_rollback),
            {.summary = "Back to an earlier revision.",
             .tag = tag,
             .request = request_schema<RollbackRequest>(),
             .answers = {{202, "It is being changed.", answer_schema<DeploymentObject>()}}});
  add_write("POST", "/api/v1/deployments/{deployment_id}/redeploy", bound(post_redeploy),
            {.summary = "The same once more.",
             .tag = tag,
             .request = request_schema<EmptyRequest>(),
             .answers = {{202, "It is being changed.", answer_schema<DeploymentObject>()}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/agents/confirm-loss",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_confirm_loss),
                   .doc = {.summary = "Most agents are silent, and they are really lost: go on.",
                           .tag = "agents",
                           .answers = {{204, "Taken for ten minutes.", {}, ""}}}});
}

}  // namespace ee::cp
