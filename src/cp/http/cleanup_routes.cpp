#include "cp/http/cleanup_routes.h"

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr Milliseconds kTimeout{60'000};    // the lists of Cloudflare have many pages
constexpr Milliseconds kAnswerTime{1'000};  // left for the answer when the handler's time ends

std::string id_of(const Call& call) { return std::string(call.request.param("id")); }

cloudflare::CallContext context_of(const Call& call) {
  return {.stop = call.request.stop,
          .deadline = call.request.deadline == SteadyTime{} ? SteadyTime::max() : call.request.deadline - kAnswerTime};
}

net::Response post_cleanup(CleanupRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto wanted = json::read<CleanupRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), request_id);
  if (wanted->dry_run)
    return answer_of(context.cleanup.plan(*wanted, actor_of(call), context_of(call)), 200, request_id);
  const auto begun = context.cleanup.start(*wanted, actor_of(call), context_of(call));
  net::Response response = answer_of(begun, 202, request_id);
  if (begun) response.headers.push_back({"Location", "/api/v1/admin/cleanup/" + begun->id});
  return response;
}

net::Response get_cleanups(CleanupRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page = context.cursors.page_request("cleanup_runs", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.cleanup.list(*page), 200, request_id);
}

net::Response get_cleanup(CleanupRoutes& context, const Call& call) {
  return answer_of(context.cleanup.get(id_of(call)), 200, call.request.request_id);
}

net::Response cancel_cleanup(CleanupRoutes& context, const Call& call) {
  return answer_of(context.cleanup.cancel(id_of(call), actor_of(call)), 200, call.request.request_id);
}

net::Response post_agent_cleanup(CleanupRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const std::string_view id = call.request.param("agent_id");
  if (!is_uuid(id)) return error_answer({.code = ErrorCode::agent_not_found}, request_id);
  const auto wanted = json::read<AgentCleanupRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), request_id);
  return answer_of(context.cleanup.agent(AgentId(std::string(id)), *wanted, actor_of(call)),
                   wanted->dry_run ? 200 : 202, request_id);
}

}  // namespace

void add_cleanup_routes(std::vector<Route>& table, CleanupRoutes& context) {
  using Handle = net::Response (*)(CleanupRoutes&, const Call&);
  const auto add = [&](std::string_view method, std::string_view pattern, Handle handle, RouteDoc doc) -> Route& {
    doc.tag = "clean-up";
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin,
                     .rate = RateClass::admin,
                     .handle = [handle, &context](const Call& call) { return handle(context, call); },
                     .doc = std::move(doc)});
    return table.back();
  };
  Route& post = add("POST", "/api/v1/admin/cleanup", post_cleanup,
                    {.summary = "Shows what nobody needs any more, or removes it.",
                     .tag = {},
                     .request = request_schema<CleanupRequest>(),
                     .answers = {{200, "A dry run: the plan.", answer_schema<CleanupPlanView>()},
                                 {202, "It has begun.", answer_schema<CleanupRunView>()}}});
  post.outside = true;
  post.timeout = kTimeout;
  add("GET", "/api/v1/admin/cleanup", get_cleanups,
      {.summary = "Clean-ups, newest first.",
       .tag = {},
       .query = {{"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                 {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
       .answers = {{200, "A page.", answer_schema<CleanupRunPage>()}}});
  add("GET", "/api/v1/admin/cleanup/{id}", get_cleanup,
      {.summary = "How far a clean-up is.",
       .tag = {},
       .answers = {{200, "As it is now.", answer_schema<CleanupRunView>()}}});
  add("POST", "/api/v1/admin/cleanup/{id}/cancel", cancel_cleanup,
      {.summary = "Ends a clean-up before its next item.",
       .tag = {},
       .answers = {{200, "As it was.", answer_schema<CleanupRunView>()}}});
  add("POST", "/api/v1/admin/agents/{agent_id}/cleanup", post_agent_cleanup,
      {.summary = "Deletes one agent with all that belongs to it, or shows what that is.",
       .tag = {},
       .request = request_schema<AgentCleanupRequest>(),
       .answers = {{200, "A dry run.", answer_schema<AgentCleanupView>()},
                   {202, "It is being deleted.", answer_schema<AgentCleanupView>()}}});
}

}  // namespace ee::cp
