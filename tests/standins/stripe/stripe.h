#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "net/http.h"
#include "tests/standins/stripe/stripe_state.h"

namespace ee::net {
class CurlHttpClient;
class Server;
}  // namespace ee::net

namespace ee::standins {

/// `t=...,v1=...` as Stripe makes it for a webhook of that body (docs.stripe.com/webhooks).
std::string stripe_signature_header(std::string_view body, std::string_view secret, std::int64_t t_seconds);

/// One thing to go wrong with calls whose path has `path` in it; `count` times.
struct StripeFault {
  std::string path = {};  ///< empty: any
  int status = 0;         ///< answer so, without effect; 0: no such answer
  std::string code = {};  ///< of that answer
  std::string drop = {};  ///< `before`: close without effect; `after`: do it, then close without an answer
  Milliseconds delay{0};  ///< wait so long first
  int count = 1;
};

/// Stand-in for Stripe: a real HTTP server on 127.0.0.1 with the four calls of payments, and the test's controls under
/// `/_test/`: intents/{id}/{succeed|fail|process|cancel}, refunds[/{id}], disputes[/{id}/{withdraw|reinstate|close}],
/// events, faults, deliver, calls. Thread-safe.
class StripeStandIn {
 public:
  struct Config {
    std::string secret_key = "sk_test_standin";
    std::string webhook_secret = "whsec_standin";
    std::string webhook_url = {};  ///< where `deliver` posts to
    std::uint64_t seed = 1;
  };
  /// `clock` dates objects and signatures.
  explicit StripeStandIn(Clock& clock) : StripeStandIn(clock, Config()) {}
  StripeStandIn(Clock& clock, Config config);
  ~StripeStandIn();
  StripeStandIn(const StripeStandIn&) = delete;
  StripeStandIn& operator=(const StripeStandIn&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  std::string url() const;  ///< `stripe.api_url`
  const Config& config() const { return config_; }
  void set_webhook_url(std::string url);

  /// A control without HTTP: POST (or GET with an empty body) of `/_test/<path>`. Throws when it is refused.
  boost::json::value control(const std::string& path, const boost::json::value& body = nullptr);
  /// Posts these events, signed as usual; the status of each answer. Ids of events that happened, or whole events.
  std::vector<int> deliver(const boost::json::array& events, const boost::json::object& options = {});
  /// The newest event of that type.
  boost::json::object last_event(std::string_view type);
  void add_fault(StripeFault fault);
  void clear_faults();
  struct Received {
    std::string method;
    std::string path;
    std::string body;
    std::string idempotency_key;
    std::string api_version;
  };
  std::vector<Received> calls() const;
  std::size_t intents() const;

  /// What the server answers; needs no server.
  net::Response answer(const net::Request& request);

 private:
  class App;
  struct Kept {
    std::string body;
    net::Response response;
  };
  net::Response api(const net::Request& request);
  net::Response run_call(const net::Request& request, const std::string& key);
  net::Response test_call(const net::Request& request);
  net::Response deliver(const net::Request& request);
  std::optional<StripeFault> take_fault(const std::string& path);

  Clock& clock_;
  Config config_;
  std::unique_ptr<Random> random_;
  mutable std::mutex mutex_;  // guards all below but the server
  StripeState state_;
  std::map<std::string, Kept> kept_;  ///< by idempotency key
  std::vector<StripeFault> faults_;
  std::vector<Received> calls_;
  SystemClock server_clock_;
  SystemRandom server_random_;
  std::unique_ptr<net::CurlHttpClient> client_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
