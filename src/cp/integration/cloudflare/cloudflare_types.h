#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "common/time.h"

namespace ee::cp::cloudflare {

/// Why a call did not do what it was asked for, as far as the caller's reaction depends on it.
enum class Failure : std::uint8_t {
  name_exists,      ///< 1013: a tunnel of that name exists
  has_connections,  ///< 1022: the tunnel is connected
  gone,             ///< 1003, 81044 or HTTP 404: there is no such thing
  record_exists,    ///< 81053, 81054, 81057
  bad_token,        ///< 9109, 10000, HTTP 401 or 403; also while the circuit is open
  rate_limited,     ///< HTTP 429; also while all calls pause because of one
  over_budget,      ///< our own budget has no call left
  transient,        ///< 5xx, time-out, network, an answer that is none
  refused,          ///< any other answer of the API: the same call will not work either
  cancelled,
};
std::string_view to_string(Failure failure);

struct CloudflareError {
  Failure failure = Failure::transient;
  int http_status = 0;      ///< 0: no answer, or no call was made
  int code = 0;             ///< the API's numeric code, 0 when there was none
  std::string detail = {};  ///< of our own making: never the API's text
  std::optional<Seconds> retry_after = {};
  /// `1013`, `http_503`, `timeout`...: short, for `agents.tunnel_error`.
  std::string short_text() const;
};
template <class T>
using CfResult = std::expected<T, CloudflareError>;

/// Effective values of the settings `cloudflare.*` that a call needs.
struct CloudflareConfig {
  std::string api_url = "https://api.cloudflare.com/client/v4";
  std::string account_id = {};  ///< 32 hex
  std::string zone_id = {};     ///< 32 hex
  Secret api_token = {};
  Milliseconds timeout{20'000};  ///< of a whole call
  std::int64_t calls_per_5min = 1000;
};
using CloudflareConfigSource = std::function<CloudflareConfig()>;

struct Tunnel {
  std::string id = {};
  std::string name = {};
  std::string status = {};  ///< `inactive`, `healthy`, `degraded`, `down`
  std::optional<UtcTime> created_at = {};
  std::int64_t connections = 0;
};

struct CreatedTunnel {
  std::string id = {};
  Secret token = {};
};

struct DnsRecord {
  std::string id = {};
  std::string type = {};
  std::string name = {};
  std::string content = {};
  std::string comment = {};
  bool proxied = false;
  std::optional<UtcTime> created_at = {};
};

/// How a caller wants its calls made.
struct CallContext {
  std::stop_token stop = {};
  SteadyTime deadline = SteadyTime::max();
  bool wait_for_budget = false;  ///< wait for the next call of the budget, up to the deadline; else fail at once
};

}  // namespace ee::cp::cloudflare
