// The server alone, with a route as short as /health, for bench/p2_health.sh. Prints its URL and serves until its
// standard input ends.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "net/router.h"
#include "net/server.h"

namespace {

class HealthApplication final : public ee::net::Application {
 public:
  HealthApplication() : health_(router_.add("GET /health")) {
    router_.add("POST /api/v1/agents/register");
    router_.add("POST /api/v1/agents/{agent_id}/heartbeat");
  }

  ee::net::Admission admit(const ee::net::RequestHead& head) override {
    const ee::net::RouteMatch match = router_.match(head.method, head.path);
    if (match.outcome != ee::net::RouteOutcome::found || match.index != health_)
      return {.answer = ee::net::Response{.status = 404}};
    return {.route = &info_};
  }
  std::optional<ee::net::Response> try_fast(ee::net::Request&) override {
    return ee::net::Response{
        .headers = {{"Content-Type", "application/json"}},
        .body = R"({"status":"ok","version":"0.1.0","git_sha":"0123456789abcdef","env":"dev","uptime_seconds":12345,)"
                R"("checks":{"database":"ok","settings":"ok","jobs":"ok","attestation":"ok"}})"};
  }
  ee::net::Response handle(ee::net::Request&&) override { return {.status = 500}; }

 private:
  ee::net::Router router_;
  std::size_t health_;
  ee::net::RouteInfo info_{.route_template = "/health", .fast = true, .reserved = true};
};

}  // namespace

int main(int argc, char** argv) {
  HealthApplication application;
  ee::SystemClock clock;
  ee::SystemRandom random;
  ee::net::ServerConfig config{.bind = argc > 1 ? argv[1] : "127.0.0.1:0"};
  config.max_requests_per_connection = 1'000'000'000;
  const auto server = ee::net::Server::start(std::move(config), application, clock, random);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().c_str());
    return EXIT_FAILURE;
  }
  std::printf("%s\n", (*server)->url().c_str());
  std::fflush(stdout);
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  return EXIT_SUCCESS;
}
