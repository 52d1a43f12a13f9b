#include "cp/process_metrics.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

TEST(ProcessMetrics, CountsRegistrationsThatTheServerTurnedAway) {
  metrics::Registry registry;
  ProcessMetrics process(registry, "1", "abc");
  process.set_routes(registry, {"/api/v1/agents/register", "/api/v1/agents"});
  const net::RouteInfo registering{.route_template = "/api/v1/agents/register"};
  const net::RouteInfo other{.route_template = "/api/v1/agents"};
  const auto turn_away = [&](const net::RouteInfo& route, std::string_view code, int status) {
    net::AccessRecord record{};
    record.route = &route;
    record.method = "POST";
    record.code = code;
    record.status = status;
    process.request(record);
  };
  turn_away(registering, "overloaded", 503);
  turn_away(registering, "overloaded", 503);
  turn_away(registering, "verifier_busy", 503);  // counted by the service, which refused it
  turn_away(other, "overloaded", 503);
  const std::string text = registry.text();
  EXPECT_NE(text.find(R"(ee_agent_registrations_total{code="overloaded",result="rejected"} 2)"), std::string::npos);
  EXPECT_EQ(text.find(R"(ee_agent_registrations_total{code="verifier_busy")"), std::string::npos);
}

}  // namespace
}  // namespace ee::cp
