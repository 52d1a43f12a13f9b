#include "cp/http/trust_routes.h"

#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxBytes = 1024UL * 1024;  // 50 profiles with 4,096 event digests each do not fit; few have any

struct ListQuery {
  std::optional<attestation::MrtdKind> kind;
  PageRequest page;
};

Result<ListQuery> list_query(const TrustRoutes& context, const net::Request& request) {
  const auto query = Query::parse(request.query, {"kind", "limit", "cursor"});
  if (!query) return std::unexpected(query.error());
  ListQuery out;
  if (const auto kind = query->text("kind")) {
    out.kind = enum_of<attestation::MrtdKind>(*kind);
    if (!out.kind) return fail(bad_query("kind", "not_in_enum", "agent or control_plane"));
  }
  const auto page = context.cursors.page_request("trusted_mrtds", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return std::unexpected(page.error());
  out.page = *page;
  return out;
}

net::Response get_public(TrustRoutes& context, const Call& call) {
  const auto query = list_query(context, call.request);
  if (!query) return error_answer(query.error(), call.request.request_id);
  return answer_of(context.trust.list_public(query->kind, query->page, context.cursors), 200, call.request.request_id);
}

net::Response get_all(TrustRoutes& context, const Call& call) {
  const auto query = list_query(context, call.request);
  if (!query) return error_answer(query.error(), call.request.request_id);
  return answer_of(context.trust.list(query->kind, query->page, context.cursors), 200, call.request.request_id);
}

net::Response view_answer(const Result<AdminMrtdView>& view, int status, const Call& call) {
  net::Response response = answer_of(view, status, call.request.request_id);
  if (view) response.headers.push_back({"ETag", '"' + std::to_string(view->version) + '"'});
  return response;
}

std::string mrtd_of(const Call& call) { return std::string(call.request.param("mrtd")); }

net::Response post_mrtd(TrustRoutes& context, const Call& call) {
  const auto wanted = json::read<TrustedMrtdInput>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return view_answer(context.trust.add(*wanted, actor_of(call)), 201, call);
}

net::Response get_mrtd(TrustRoutes& context, const Call& call) {
  return view_answer(context.trust.get(mrtd_of(call)), 200, call);
}

/// `?dry_run=true`. Errors: invalid_request.
Result<bool> is_dry_run(const Call& call) {
  const auto query = Query::parse(call.request.query, {"dry_run"});
  if (!query) return std::unexpected(query.error());
  const auto flag = query->flag("dry_run");
  if (!flag) return std::unexpected(flag.error());
  return flag->value_or(false);
}

net::Response patch_mrtd(TrustRoutes& context, const Call& call) {
  const auto dry = is_dry_run(call);
  if (!dry) return error_answer(dry.error(), call.request.request_id);
  const auto wanted = json::read<TrustedMrtdPatch>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto version = if_match_of(call.request);
  if (!version) return error_answer(version.error(), call.request.request_id);
  if (*dry)
    return answer_of(context.preview.preview_change(mrtd_of(call), *wanted, *version), 200, call.request.request_id);
  return view_answer(context.trust.change(mrtd_of(call), *wanted, *version, actor_of(call)), 200, call);
}

net::Response delete_mrtd(TrustRoutes& context, const Call& call) {
  const auto dry = is_dry_run(call);
  if (!dry) return error_answer(dry.error(), call.request.request_id);
  if (*dry) return answer_of(context.preview.preview_remove(mrtd_of(call)), 200, call.request.request_id);
  return answer_of(context.trust.remove(mrtd_of(call), actor_of(call)), 200, call.request.request_id);
}

net::Response post_profile(TrustRoutes& context, const Call& call) {
  const auto wanted = json::read<RtmrProfileInput>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return view_answer(context.trust.add_profile(mrtd_of(call), *wanted, actor_of(call)), 201, call);
}

net::Response delete_profile(TrustRoutes& context, const Call& call) {
  const std::string profile(call.request.param("profile_id"));
  return view_answer(context.trust.remove_profile(mrtd_of(call), profile, actor_of(call)), 200, call);
}

std::vector<QueryParameter> list_parameters() {
  return {{"kind", R"({"type":"string","enum":["agent","control_plane"]})", "Only entries of this kind."},
          {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
          {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}};
}

QueryParameter dry_run_parameter() {
  return {"dry_run", R"({"type":"boolean","default":false})", "Change nothing; say which agents would fail."};
}

}  // namespace

void add_trust_routes(std::vector<Route>& table, TrustRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(TrustRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "trust";
  const auto view = [](int status, std::string text) {
    return std::vector<DocumentedAnswer>{{status, std::move(text), answer_schema<AdminMrtdView>()}};
  };
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/trusted-mrtds",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = bound(get_public),
                   .doc = {.summary = "What this control plane trusts.",
                           .tag = tag,
                           .query = list_parameters(),
                           .answers = {{200, "Enabled entries.", answer_schema<PublicMrtdPage>()}}},
                   .shed = net::Shed::first});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/admin/trusted-mrtds",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_all),
                   .doc = {.summary = "All entries, also disabled ones.",
                           .tag = tag,
                           .query = list_parameters(),
                           .answers = {{200, "A page.", answer_schema<AdminMrtdPage>()}}},
                   .reserved = true});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/trusted-mrtds",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_mrtd),
                   .doc = {.summary = "Trusts an MRTD, with RTMR profiles.",
                           .tag = tag,
                           .request = request_schema<TrustedMrtdInput>(),
                           .answers = view(201, "The new entry.")},
                   .max_body_bytes = kMaxBytes,
                   .reserved = true});
  table.push_back(
      {.method = "GET",
       .pattern = "/api/v1/admin/trusted-mrtds/{mrtd}",
       .access = Access::admin,
       .rate = RateClass::admin,
       .handle = bound(get_mrtd),
       .doc = {.summary = "One entry.", .tag = tag, .answers = view(200, "The entry; ETag is its version.")},
       .reserved = true});
  table.push_back({.method = "PATCH",
                   .pattern = "/api/v1/admin/trusted-mrtds/{mrtd}",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(patch_mrtd),
                   .doc = {.summary = "Changes an entry; If-Match guards it. A dry run answers a TrustPreview.",
                           .tag = tag,
                           .request = request_schema<TrustedMrtdPatch>(),
                           .query = {dry_run_parameter()},
                           .answers = view(200, "The entry as it is now.")},
                   .reserved = true});
  table.push_back({.method = "DELETE",
                   .pattern = "/api/v1/admin/trusted-mrtds/{mrtd}",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(delete_mrtd),
                   .doc = {.summary = "Removes an entry; counts at once. A dry run answers a TrustPreview.",
                           .tag = tag,
                           .query = {dry_run_parameter()},
                           .answers = {{200, "How many agents run with it.", answer_schema<MrtdRemoved>()}}},
                   .reserved = true});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/trusted-mrtds/{mrtd}/rtmr-profiles",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_profile),
                   .doc = {.summary = "Adds an RTMR profile.",
                           .tag = tag,
                           .request = request_schema<RtmrProfileInput>(),
                           .answers = view(201, "The entry with it.")},
                   .max_body_bytes = kMaxBytes,
                   .reserved = true});
  table.push_back(
      {.method = "DELETE",
       .pattern = "/api/v1/admin/trusted-mrtds/{mrtd}/rtmr-profiles/{profile_id}",
       .access = Access::admin,
       .rate = RateClass::admin,
       .handle = bound(delete_profile),
       .doc = {.summary = "Removes an RTMR profile.", .tag = tag, .answers = view(200, "The entry without it.")},
       .reserved = true});
}

}  // namespace ee::cp
