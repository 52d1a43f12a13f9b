#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "cp/integration/cloudflare/cloudflare_types.h"
#include "cp/integration/cloudflare/token_bucket.h"

namespace ee::cp::cloudflare {

struct Envelope;
enum class Subject : std::uint8_t;

/// The calls of Cloudflare's API that tunnels and their host names need. Thread-safe; calls block and must not be made
/// while a transaction is open.
///
/// Every call has a time-out, takes from one budget (1,000 per 300 s, burst 50, deletions at most half), and ends at
/// once while the circuit is open (300 s after a refused token) or all calls pause (after a 429). GET, PUT and DELETE
/// are tried three times on transient failures; POST only once, since it may have worked: the caller finds out.
class CloudflareClient {
 public:
  static constexpr Seconds kCircuitOpen{300};
  static constexpr std::size_t kMaxPages = 200;  ///< of a listing; each holds 100

  /// One call as it ended, for `ee_cloudflare_calls_total{op,status}`: `status` is the HTTP status, or why there was
  /// none.
  using Observer = std::function<void(std::string_view op, std::string_view status)>;

  /// All outlive the client.
  CloudflareClient(HttpClient& http, Clock& clock, Random& random, CloudflareConfigSource config,
                   Observer observe = {});

  /// `POST cfd_tunnel`. `name_exists` when there is one already.
  CfResult<CreatedTunnel> create_tunnel(const std::string& name, const CallContext& context);
  /// Live tunnels of exactly that name.
  CfResult<std::vector<Tunnel>> find_tunnels(const std::string& name, const CallContext& context);
  /// Live tunnels whose name begins so, all pages.
  CfResult<std::vector<Tunnel>> list_tunnels(const std::string& name_prefix, const CallContext& context);
  /// `gone` when no live tunnel has this id.
  CfResult<Tunnel> get_tunnel(const std::string& tunnel_id, const CallContext& context);
  CfResult<Secret> tunnel_token(const std::string& tunnel_id, const CallContext& context);
  /// Sends `hostname` to `service`, everything else to 404.
  CfResult<void> configure_tunnel(const std::string& tunnel_id, const std::string& hostname, const std::string& service,
                                  const CallContext& context);
  /// These three: `gone` is the caller's to take as done.
  CfResult<void> drop_connections(const std::string& tunnel_id, const CallContext& context);
  CfResult<void> delete_tunnel(const std::string& tunnel_id, const CallContext& context);
  CfResult<void> delete_record(const std::string& record_id, const CallContext& context);

  /// CNAME records of exactly that name.
  CfResult<std::vector<DnsRecord>> find_records(const std::string& name, const CallContext& context);
  /// CNAME records whose comment begins so, all pages.
  CfResult<std::vector<DnsRecord>> list_records(const std::string& comment_prefix, const CallContext& context);
  /// `gone` when no record has this id.
  CfResult<DnsRecord> get_record(const std::string& record_id, const CallContext& context);
  /// A proxied CNAME. Answers its id. `record_exists` when the name is taken.
  CfResult<std::string> create_record(const std::string& name, const std::string& content, const std::string& comment,
                                      const CallContext& context);
  CfResult<void> update_record(const std::string& record_id, const std::string& name, const std::string& content,
                               const std::string& comment, const CallContext& context);
  /// `GET /user/tokens/verify`.
  CfResult<void> verify_token(const CallContext& context);

  struct Status {
    std::int64_t budget_remaining = 0;
    std::optional<UtcTime> circuit_closes_at = {};  ///< set while the API token is taken for refused
    std::optional<UtcTime> paused_until = {};       ///< set after a 429
  };
  Status status();

 private:
  struct Call;
  CfResult<Envelope> call(const Call& call, const CallContext& context);
  CfResult<Envelope> attempt(const Call& call, const CloudflareConfig& config, const CallContext& context);
  std::optional<CloudflareError> blocked();
  std::optional<CloudflareError> take_budget(const Call& call, const CloudflareConfig& config,
                                             const CallContext& context);
  void learn(const CloudflareError& error);
  CfResult<std::vector<Tunnel>> read_tunnel_page(const Envelope& envelope);

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  CloudflareConfigSource config_;
  Observer observe_;
  CallBudget budget_;
  std::mutex mutex_;  // guards the two below
  std::optional<SteadyTime> circuit_closes_at_;
  std::optional<SteadyTime> paused_until_;
};

}  // namespace ee::cp::cloudflare
