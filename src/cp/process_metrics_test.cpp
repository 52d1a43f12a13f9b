#include "cp/process_metrics.h"

#include <gtest/gtest.h>

#include "common/fake_log.h"

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

TEST(ProcessMetrics, ARefusalThatIsMeantIsNoErrorInTheLog) {
  metrics::Registry registry;
  ProcessMetrics process(registry, "1", "abc");
  process.set_routes(registry, {"/api/v1/accounts"});
  const net::RouteInfo route{.route_template = "/api/v1/accounts"};
  struct Case {
    std::string_view code;
    int status;
    log::Level level;
  };
  const Case cases[] = {
      {"maintenance", 503, log::Level::info},
      {"overloaded", 503, log::Level::info},
      {"verifier_busy", 503, log::Level::info},
      {"database_unavailable", 503, log::Level::error},
      {"internal_error", 500, log::Level::error},
      {"agent_lost", 500, log::Level::error},  // shown as internal_error
      {"", 500, log::Level::error},
      {"no_such_code", 500, log::Level::error},
      {"", 503, log::Level::warn},  // /ready, while the process stops
      {"invalid_request", 400, log::Level::warn},
      {"", 417, log::Level::warn},
      {"github_oauth_rejected", 303, log::Level::debug},  // shown by the page that the browser is sent to
      {"", 200, log::Level::debug},
  };
  for (const bool routed : {true, false})
    for (const Case& row : cases) {
      const CaptureLogs logs;
      net::AccessRecord record{};
      record.route = routed ? &route : nullptr;
      record.method = "POST";
      record.code = row.code;
      record.status = row.status;
      process.request(record);
      ASSERT_EQ(logs->records().size(), 1U) << row.code;
      EXPECT_EQ(logs->records().at(0).level, row.level) << row.code << " " << row.status;
    }
}

}  // namespace
}  // namespace ee::cp
