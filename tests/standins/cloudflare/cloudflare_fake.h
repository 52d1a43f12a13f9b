#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/http_client.h"
#include "net/http.h"
#include "tests/standins/cloudflare/cloudflare_state.h"
#include "tests/standins/cloudflare/faults.h"

namespace ee::standins {

/// One request as the stand-in saw it, the bearer token left out.
struct LoggedRequest {
  std::string method;
  std::string path;  ///< without the query
  std::string query;
  std::string body;  ///< a tunnel secret in it replaced by `***`
  UtcTime at;
  bool authorized = false;
};

/// The behaviour of Cloudflare's API, without a socket: requests in, answers out. cloudflare.h puts it behind a real
/// server, FakeHttpClient's kin below calls it directly. Thread-safe.
///
/// Everything under `/__fake/` is the test's own door, open to who sends `X-Fake-Secret`.
class CloudflareFake {
 public:
  struct Config {
    std::string account_id = "0123456789abcdef0123456789abcdef";
    std::string zone_id = "fedcba9876543210fedcba9876543210";
    std::string api_token = "fake-cloudflare-token";
    std::string hook_secret = "fake-hook-secret";
    std::string base_path = "/client/v4";
  };
  CloudflareFake(Config config, const Clock& clock, Random& random);
  ~CloudflareFake();

  const Config& config() const { return config_; }
  /// `response.drop` says that the connection is to be closed without an answer.
  net::Response handle(const net::Request& request);

  // ---- the test's knobs -------------------------------------------------------------------------------------------
  void inject(Fault fault);
  void clear_faults();
  /// After `calls` more calls every one is answered 429 with this `retry-after`, until `clear_rate_limit`.
  void set_rate_limit(int calls, int retry_after_seconds);
  void clear_rate_limit();
  /// False: no such live tunnel.
  bool set_connections(const std::string& tunnel_id, int count);
  /// A record that is not ours.
  std::string add_record(FakeRecord record);
  std::string add_tunnel(const std::string& name, UtcTime created_at);

  // ---- what it saw and holds --------------------------------------------------------------------------------------
  std::vector<LoggedRequest> requests() const;
  /// API calls so far, hooks not counted.
  int calls() const;
  std::vector<FakeTunnel> live_tunnels() const;
  std::vector<FakeTunnel> all_tunnels() const;
  std::vector<FakeRecord> records() const;
  std::string dump_json() const;
  void reset();

  // ---- cloudflared and the edge -----------------------------------------------------------------------------------
  /// A cloudflared with this token connects (`connections` > 0) or leaves (0). False: the token is of no live tunnel.
  bool connect(const std::string& token, int connections, const std::string& origin);
  /// Where the edge would send a request for `host`: base URL of the origin. Nothing: no record, no connected tunnel,
  /// or the ingress says 404.
  std::optional<std::string> route(std::string_view host) const;

 private:
  struct Api;
  friend struct Api;
  net::Response api(const net::Request& request, std::string_view path);
  net::Response hook(const net::Request& request);
  std::optional<net::Response> before(const net::Request& request, std::string_view path, bool& drop_after);

  Config config_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  CloudflareState state_;
  FaultPlan faults_;
  std::vector<LoggedRequest> log_;
  int calls_ = 0;
  std::optional<int> calls_until_limit_;
  int retry_after_seconds_ = 300;
};

/// An HttpClient whose every call goes straight to the fake: no socket, no threads, a test's own clock. URLs must begin
/// with `url`.
class CloudflareDirectClient final : public HttpClient {
 public:
  explicit CloudflareDirectClient(CloudflareFake& fake) : fake_(fake) {}
  static constexpr std::string_view kUrl = "http://cloudflare.test/client/v4";
  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override;
  /// Called before each request reaches the fake: a place to change the world in between.
  std::function<void(const HttpClientRequest&)> before_each = {};

 private:
  CloudflareFake& fake_;
};

}  // namespace ee::standins
