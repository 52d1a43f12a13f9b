#include "cp/http/attestation_admin_routes.h"

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"
#include "cp/service/agent_scope.h"

namespace ee::cp {
namespace {

/// Longer than the longest verification.
constexpr Seconds kTryTimeout{125};
constexpr std::size_t kTryMaxBytes = 512UL * 1024;

std::string id_of(const Call& call) { return std::string(call.request.param("id")); }

net::Response get_observed(AttestationAdminRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page = context.cursors.page_request("observed_measurements", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.admin.observed(*page), 200, request_id);
}

net::Response trust_observed(AttestationAdminRoutes& context, const Call& call) {
  const auto wanted = json::read<ObservedTrustRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.admin.trust_observed(id_of(call), *wanted, actor_of(call)), 201, call.request.request_id);
}

net::Response delete_observed(AttestationAdminRoutes& context, const Call& call) {
  const auto done = context.admin.forget_observed(id_of(call), actor_of(call));
  return done ? no_content() : error_answer(done.error(), call.request.request_id);
}

Result<std::optional<UtcTime>> time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<UtcTime>{};
  const auto time = parse_rfc3339(*text);
  if (!time) return fail(bad_query(name, "bad_format", "RFC 3339, UTC"));
  return time;
}

Result<AttestationAuditFilter> audit_filter(const Query& query) {
  AttestationAuditFilter filter{.agent_id = query.text("agent_id"),
                                .vm_name = query.text("vm_name"),
                                .result = {},
                                .reason_code = query.text("reason_code"),
                                .mrtd = query.text("mrtd")};
  if (const auto result = query.text("result")) {
    filter.result = enum_of<AttestationResult>(*result);
    if (!filter.result) return fail(bad_query("result", "not_in_enum", "accepted, rejected or info"));
  }
  const auto from = time_of(query, "from");
  if (!from) return std::unexpected(from.error());
  filter.from = *from;
  const auto to = time_of(query, "to");
  if (!to) return std::unexpected(to.error());
  filter.to = *to;
  return filter;
}

net::Response get_audit(AttestationAdminRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(
      call.request.query, {"agent_id", "vm_name", "result", "reason_code", "from", "to", "mrtd", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto filter = audit_filter(*query);
  if (!filter) return error_answer(filter.error(), request_id);
  const auto page = context.cursors.page_request("attestation_audit", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.admin.audit(*filter, *page), 200, request_id);
}

net::Response get_status(AttestationAdminRoutes& context, const Call& /*call*/) {
  return json_answer(200, context.status());
}

net::Response try_quote(AttestationAdminRoutes& context, const Call& call) {
  const auto wanted = json::read<TryQuoteRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.admin.try_quote(*wanted, call.request.stop), 200, call.request.request_id);
}

net::Response confirm_sweep(AttestationAdminRoutes& context, const Call& call) {
  const auto confirmed = context.sweeper.confirm(actor_of(call));
  if (confirmed && confirmed->agents > 0) context.wake_sweeper();
  return answer_of(confirmed, 200, call.request.request_id);
}

net::Response attestation_of(AttestationAdminRoutes& context, const Call& call, const AgentScope& scope) {
  const AgentId agent{std::string(call.request.param("agent_id"))};
  return answer_of(context.admin.attestation_of(scope, scope.account_ids, agent), 200, call.request.request_id);
}
net::Response get_agent_attestation(AttestationAdminRoutes& context, const Call& call) {
  return attestation_of(context, call, visible_agents(call.principal, Scope::read));
}
net::Response get_own_attestation(AttestationAdminRoutes& context, const Call& call) {
  return attestation_of(context, call, own_agents(call.principal, Scope::read));
}

const std::string kText = R"({"type":"string"})";
const std::string kTime = R"({"type":"string","format":"date-time"})";
const QueryParameter kLimit = {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})",
                               "Items of a page."};
const QueryParameter kCursor = {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."};

}  // namespace

void add_attestation_admin_routes(std::vector<Route>& table, AttestationAdminRoutes& context) {
  const auto add = [&](std::string_view method, std::string_view pattern,
                       net::Response (*handler)(AttestationAdminRoutes&, const Call&), RouteDoc doc) -> Route& {
    return table.emplace_back(Route{.method = method,
                                    .pattern = pattern,
                                    .access = Access::admin,
                                    .rate = RateClass::admin,
                                    .handle = [handler, &context](const Call& call) { return handler(context, call); },
                                    .doc = std::move(doc),
                                    .reserved = true});
  };
  const std::string tag = "attestation";
  add("GET", "/api/v1/admin/observed-measurements", get_observed,
      {.summary = "What refused machines with genuine quotes measured, last seen first.",
       .tag = tag,
       .query = {kLimit, kCursor},
       .answers = {{200, "A page.", answer_schema<ObservedPage>()}}});
  add("POST", "/api/v1/admin/observed-measurements/{id}/trust", trust_observed,
      {.summary = "Trusts an observation: its MRTD, and a profile of the chosen registers.",
       .tag = tag,
       .request = request_schema<ObservedTrustRequest>(),
       .answers = {{201, "The entry with the profile.", answer_schema<AdminMrtdView>()}}});
  add("DELETE", "/api/v1/admin/observed-measurements/{id}", delete_observed,
      {.summary = "Forgets an observation.", .tag = tag, .answers = {{204, "It is gone."}}});
  add("GET", "/api/v1/admin/attestation/audit", get_audit,
      {.summary = "Decisions about evidence and changes of trust, newest first.",
       .tag = tag,
       .query = {{"agent_id", kText, "Of this agent."},
                 {"vm_name", kText, "Of a VM of this name."},
                 {"result", R"({"type":"string","enum":["accepted","rejected","info"]})", "How it ended."},
                 {"reason_code", kText, "Exactly this reason."},
                 {"from", kTime, "From then on."},
                 {"to", kTime, "Before then."},
                 {"mrtd", kText, "With this MRTD."},
                 kLimit,
                 kCursor},
       .answers = {{200, "A page.", answer_schema<AttestationAuditPage>()}}});
  add("GET", "/api/v1/admin/attestation/status", get_status,
      {.summary = "Verifiers, keys, collateral, and the last error of each dependency.",
       .tag = tag,
       .answers = {{200, "As this replica sees it.", answer_schema<AttestationStatusView>()}}});
  Route& tried = add("POST", "/api/v1/admin/attestation/verify", try_quote,
                     {.summary = "Judges a quote step by step, without effect.",
                      .tag = tag,
                      .request = request_schema<TryQuoteRequest>(),
                      .answers = {{200, "What each step found.", answer_schema<TriedQuote>()}}});
  tried.max_body_bytes = kTryMaxBytes;
  tried.outside = true;
  tried.timeout = kTryTimeout;
  add("POST", "/api/v1/admin/attestation/confirm-sweep", confirm_sweep,
      {.summary = "Lets a sweep that would take most of the fleet go on.",
       .tag = tag,
       .answers = {{200, "Which policy was confirmed, and for how many agents.", answer_schema<HeldSweep>()}}});
  const auto add_evidence = [&](std::string_view pattern, Access access, auto handler) {
    Route& route = add("GET", pattern, handler,
                       {.summary = "The last accepted evidence of an agent: enough to verify its quote again.",
                        .tag = "agents",
                        .answers = {{200, "The evidence.", answer_schema<AgentAttestationView>()}}});
    route.access = access;
    route.rate = RateClass::read;
    route.reserved = false;
  };
  add_evidence("/api/v1/agents/{agent_id}/attestation", Access::admin_or_owner, get_agent_attestation);
  add_evidence("/api/v1/me/agents/{agent_id}/attestation", Access::owner, get_own_attestation);
}

}  // namespace ee::cp
