#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include "common/clock.h"
#include "common/random.h"
#include "net/curl_http_client.h"
#include "net/server.h"

// Stand-in for cloudflared: `cloudflared tunnel --no-autoupdate --metrics ADDRESS --grace-period 10s run`.
// Takes its token from TUNNEL_TOKEN, marks its tunnel connected at the Cloudflare stand-in of EE_FAKE_CLOUDFLARE_URL
// (secret of its hooks: EE_FAKE_CLOUDFLARE_SECRET), serves `/ready` at ADDRESS as the real one does, and takes its
// connections back on SIGTERM. `POST /crash` at ADDRESS ends it at once with status 3. A token that the stand-in does
// not know ends it with status 1.
namespace {

using namespace std::chrono_literals;

constexpr int kConnections = 4;

std::string env(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing changes the environment
  return value != nullptr ? value : otherwise;
}

std::string metrics_address(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--metrics") == 0) return argv[i + 1];
  return "127.0.0.1:0";
}

class Metrics final : public ee::net::Application {
 public:
  std::atomic<bool> connected = false;

  ee::net::Admission admit(const ee::net::RequestHead& /*head*/) override { return {.route = &route_}; }
  ee::net::Response handle(ee::net::Request&& request) override {
    if (request.method == "POST" && request.path == "/crash") ::_exit(3);
    if (request.path != "/ready") return {.status = 404, .body = "not found"};
    const bool ready = connected.load();
    return {.status = ready ? 200 : 503,
            .body = fmt::format(R"({{"status":{},"readyConnections":{},"connectorId":"{}"}})", ready ? 200 : 503,
                                ready ? kConnections : 0, "00000000-0000-4000-8000-000000000000")};
  }

 private:
  ee::net::RouteInfo route_{.route_template = "/"};
};

enum class Connected { yes, refused, unreachable };

Connected connect(ee::HttpClient& http, const std::string& token, int connections) {
  // The token is base64 and the origin a URL: neither needs escaping in JSON.
  const auto answer = http.send({.method = "POST",
                                 .url = env("EE_FAKE_CLOUDFLARE_URL") + "/__fake/connect",
                                 .headers = {{"X-Fake-Secret", env("EE_FAKE_CLOUDFLARE_SECRET", "fake-hook-secret")}},
                                 .body = fmt::format(R"({{"token":"{}","connections":{},"origin":"{}"}})", token,
                                                     connections, env("EE_FAKE_ORIGIN"))});
  if (!answer) return Connected::unreachable;
  return answer->status == 200 ? Connected::yes : Connected::refused;
}

}  // namespace

int main(int argc, char** argv) try {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread is made

  const std::string token = env("TUNNEL_TOKEN");
  if (token.empty()) {
    fmt::print(stderr, "no TUNNEL_TOKEN\n");
    return 1;
  }
  ee::SystemClock clock;
  ee::SystemRandom random;
  ee::net::CurlHttpClient http;
  Metrics metrics;
  ee::net::ServerConfig config;
  config.bind = metrics_address(argc, argv);
  const auto server = ee::net::Server::start(std::move(config), metrics, clock, random);
  if (!server) {
    fmt::print(stderr, "cannot serve metrics: {}\n", server.error());
    return 1;
  }
  fmt::print(stderr, "metrics at {}\n", (*server)->url());

  // Connects, and looks every two seconds whether it still is, as the real one comes back after a lost connection.
  for (;;) {
    const Connected outcome = connect(http, token, kConnections);
    metrics.connected = outcome == Connected::yes;
    if (outcome == Connected::refused) {
      fmt::print(stderr, "the tunnel's token was refused\n");
      return 1;
    }
    const timespec wait{.tv_sec = 2, .tv_nsec = 0};
    if (sigtimedwait(&signals, nullptr, &wait) > 0) break;
  }
  (void)connect(http, token, 0);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
