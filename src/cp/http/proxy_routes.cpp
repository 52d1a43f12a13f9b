#include "cp/http/proxy_routes.h"

#include "common/id.h"
#include "common/json.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

std::string_view name_of(const Call& call) { return call.request.param("name"); }

ServiceView view_of(const ProxyRoutes& context, const ListedServiceRow& row) {
  return {.id = row.id,
          .name = row.name,
          .account_id = row.account_id,
          .access = row.access,
          .url = context.public_url + "/proxy/" + row.name + "/",
          .backends = {.healthy = row.healthy, .total = row.total},
          .settings = json::read<ServiceOverrides>(row.settings).value_or(ServiceOverrides{}),
          .created_at = row.created_at,
          .updated_at = row.updated_at,
          .last_healthy_at = row.last_healthy_at};
}

ServiceTokenView view_of(const ServiceTokenRow& row) {
  return {.id = row.id,
          .label = row.label,
          .display = "ee_svc_" + row.lookup + "_...",
          .created_at = row.created_at,
          .expires_at = row.expires_at,
          .last_used_at = row.last_used_at};
}

net::Response get_proxy(ProxyRoutes& context, const Call&) {
  const ProxySettings settings = context.settings();
  ProxyView view{.proxy_url = context.public_url,
                 .path_template = "/proxy/{service}/{path}",
                 .limits = {.max_body_bytes = static_cast<std::int64_t>(settings.limits.max_body_bytes),
                            .header_timeout_ms = settings.limits.header.count(),
                            .idle_timeout_ms = settings.limits.idle.count(),
                            .total_timeout_ms = settings.limits.total.count(),
                            .websocket_idle_ms = settings.limits.tunnel_idle.count(),
                            .max_service_rps = settings.max_service_rps}};
  if (!settings.host_suffix.empty()) view.host_suffix = settings.host_suffix;
  return json_answer(200, view);
}

net::Response get_services(ProxyRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page =
      context.cursors.page_request("services", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  const auto found = context.services.list(call.principal, *page);
  if (!found) return error_answer(found.error(), request_id);
  ServicePage answer{.items = {}, .next_cursor = context.cursors.encode("services", found->next)};
  for (const ListedServiceRow& row : found->items) answer.items.push_back(view_of(context, row));
  return json_answer(200, answer);
}

net::Response one(const ProxyRoutes& context, const Call& call, const Result<ListedServiceRow>& row) {
  if (!row) return error_answer(row.error(), call.request.request_id);
  return json_answer(200, view_of(context, *row));
}

net::Response get_service(ProxyRoutes& context, const Call& call) {
  return one(context, call, context.services.get(call.principal, name_of(call)));
}

net::Response patch_service(ProxyRoutes& context, const Call& call) {
  const auto wanted = json::read<ServiceChanges>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return one(context, call,
             context.services.update(call.principal, actor_of(call), name_of(call),
                                     {.access = wanted->access, .settings = wanted->settings}));
}

net::Response delete_service(ProxyRoutes& context, const Call& call) {
  if (auto removed = context.services.remove(call.principal, actor_of(call), name_of(call)); !removed)
    return error_answer(removed.error(), call.request.request_id);
  return no_content();
}

net::Response get_evidence(ProxyRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"nonce", "deployment_id"});
  if (!query) return error_answer(query.error(), request_id);
  const auto deployment = query->text("deployment_id");
  if (deployment && !is_uuid(*deployment))
    return error_answer(bad_query("deployment_id", "bad_format", "a UUID"), request_id);
  auto evidence =
      context.evidence.fetch(name_of(call), deployment ? std::optional(DeploymentId(*deployment)) : std::nullopt,
                             query->text("nonce").value_or(""), call.request.stop);
  if (!evidence) return error_answer(evidence.error(), request_id);
  net::Response response = json_text(200, std::move(*evidence));
  response.headers.push_back({"Cache-Control", "no-store"});
  return response;
}

std::string evidence_schema(json::SchemaSet&) {
  return R"({"type":"object","description":"What the agent answers, unchanged."})";
}

net::Response get_tokens(ProxyRoutes& context, const Call& call) {
  const auto tokens = context.services.tokens(call.principal, name_of(call));
  if (!tokens) return error_answer(tokens.error(), call.request.request_id);
  ServiceTokenList answer;
  for (const ServiceTokenRow& row : *tokens) answer.items.push_back(view_of(row));
  return json_answer(200, answer);
}

net::Response post_token(ProxyRoutes& context, const Call& call) {
  const auto wanted = json::read<ServiceTokenRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made =
      context.services.add_token(call.principal, actor_of(call), name_of(call), wanted->label, wanted->ttl_seconds);
  if (!made) return error_answer(made.error(), call.request.request_id);
  net::Response response =
      json_answer(201, NewServiceTokenView{.token = view_of(made->row), .secret = std::string(made->text.reveal())});
  response.sensitive = true;
  return response;
}

net::Response delete_token(ProxyRoutes& context, const Call& call) {
  const auto revoked = context.services.revoke_token(call.principal, actor_of(call), name_of(call),
                                                     std::string(call.request.param("token_id")));
  if (!revoked) return error_answer(revoked.error(), call.request.request_id);
  return no_content();
}

}  // namespace

void add_proxy_routes(std::vector<Route>& table, ProxyRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(ProxyRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "Services";
  const auto add = [&](std::string_view method, std::string_view pattern,
                       net::Response (*handler)(ProxyRoutes&, const Call&), RouteDoc doc) {
    const bool changes = method != "GET";
    doc.tag = tag;
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin_or_owner,
                     .rate = changes ? RateClass::write : RateClass::read,
                     .handle = bound(handler),
                     .doc = std::move(doc),
                     .scope = changes ? Scope::deploy : Scope::read});
  };
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/proxy",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = bound(get_proxy),
                   .doc = {.summary = "Where workloads are reached, and the bounds of it.",
                           .tag = tag,
                           .answers = {{200, "The proxy.", answer_schema<ProxyView>()}}}});
  add("GET", "/api/v1/services", get_services,
      {.summary = "Own services; administrators see all.",
       .tag = tag,
       .query = {{"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                 {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
       .answers = {{200, "A page.", answer_schema<ServicePage>()}}});
  add("GET", "/api/v1/services/{name}", get_service,
      {.summary = "One service.", .tag = tag, .answers = {{200, "The service.", answer_schema<ServiceView>()}}});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/services/{name}/evidence",
                   .access = Access::open,
                   .rate = RateClass::evidence,
                   .handle = bound(get_evidence),
                   .doc = {.summary = "Fresh evidence of what serves the service, over the caller's own nonce.",
                           .tag = tag,
                           .query = {{"nonce", R"({"type":"string","pattern":"^[0-9a-f]{64}$"})", "32 bytes, hex."},
                                     {"deployment_id", R"({"type":"string","format":"uuid"})", "Which backend."}},
                           .answers = {{200, "The agent's evidence.", evidence_schema}}},
                   .outside = true});
  add("PATCH", "/api/v1/services/{name}", patch_service,
      {.summary = "Changes who may use the service, and its bounds.",
       .tag = tag,
       .request = request_schema<ServiceChanges>(),
       .answers = {{200, "The service.", answer_schema<ServiceView>()}}});
  add("DELETE", "/api/v1/services/{name}", delete_service,
      {.summary = "Ends a service that nothing runs for; its name stays held for 30 days.",
       .tag = tag,
       .answers = {{204, "Gone."}}});
  add("GET", "/api/v1/services/{name}/tokens", get_tokens,
      {.summary = "Live tokens, never the tokens themselves.",
       .tag = tag,
       .answers = {{200, "The tokens.", answer_schema<ServiceTokenList>()}}});
  add("POST", "/api/v1/services/{name}/tokens", post_token,
      {.summary = "Makes a token, which is shown once.",
       .tag = tag,
       .request = request_schema<ServiceTokenRequest>(),
       .answers = {{201, "The token.", answer_schema<NewServiceTokenView>()}}});
  add("DELETE", "/api/v1/services/{name}/tokens/{token_id}", delete_token,
      {.summary = "Ends a token at once.", .tag = tag, .answers = {{204, "Ended."}}});
}

}  // namespace ee::cp
