#include "cp/http/maintenance_routes.h"

#include <algorithm>
#include <array>
#include <string>

#include "cp/http/admin.h"
#include "cp/http/answers.h"

namespace ee::cp {
namespace {

/// Of the routes that are no GET: those that change nothing, those of administrators that may be needed meanwhile, and
/// those by which running agents stay what they are.
constexpr std::array<std::string_view, 15> kGoOn = {"POST /admin/login",
                                                    "POST /admin/logout",
                                                    "PUT /api/v1/admin/settings/{key}",
                                                    "DELETE /api/v1/admin/settings/{key}",
                                                    "POST /api/v1/admin/maintenance",
                                                    "POST /api/v1/billing/estimate",
                                                    "POST /api/v1/deploy/preflight",
                                                    "POST /api/v1/apps/{app_name}/versions/{version}/deploy/preflight",
                                                    "POST /api/v1/agents/{agent_id}/heartbeat",
                                                    "POST /api/v1/agents/{agent_id}/status",
                                                    "POST /api/v1/agents/{agent_id}/deployed",
                                                    "POST /api/v1/agents/{agent_id}/credential/rotate",
                                                    "POST /api/v1/agents/{agent_id}/attestation/challenge",
                                                    "POST /api/v1/agents/{agent_id}/attestation",
                                                    "POST /api/v1/internal/measurement-callback"};

net::Response get_maintenance(MaintenanceRoutes& context, const Call&) {
  return json_answer(200, context.maintenance.view());
}

net::Response post_maintenance(MaintenanceRoutes& context, const Call& call) {
  const auto wanted = json::read<MaintenanceRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.maintenance.set(*wanted, actor_of(call)), 200, call.request.request_id);
}

}  // namespace

bool goes_on_in_maintenance(const Route& route) {
  if (route.method == "GET") return true;
  const std::string name = std::string(route.method) + " " + std::string(route.pattern);
  return std::ranges::find(kGoOn, name) != kGoOn.end();
}

void add_maintenance_routes(std::vector<Route>& table, MaintenanceRoutes& context) {
  const std::vector<DocumentedAnswer> answers = {{200, "As it is now.", answer_schema<MaintenanceView>()}};
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/admin/maintenance",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = [&context](const Call& call) { return get_maintenance(context, call); },
                   .doc = {.summary = "Whether changes are refused.", .tag = "operations", .answers = answers},
                   .reserved = true});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/maintenance",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = [&context](const Call& call) { return post_maintenance(context, call); },
                   .doc = {.summary = "Refuses changes until further notice, or takes them again.",
                           .tag = "operations",
                           .request = request_schema<MaintenanceRequest>(),
                           .answers = answers},
                   .reserved = true});
}

}  // namespace ee::cp
