#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/random.h"
#include "common/time.h"

namespace ee::standins {

struct FakeIngressRule {
  std::string hostname;  ///< empty: catches all
  std::string service;
};

struct FakeTunnel {
  std::string id;
  std::string name;
  std::string secret;  ///< base64, as it was sent
  UtcTime created_at;
  std::optional<UtcTime> deleted_at = {};
  int connections = 0;
  std::vector<FakeIngressRule> ingress = {};
  std::string origin = {};  ///< where a connected cloudflared says that its origin is; used by the edge mode
};

struct FakeRecord {
  std::string id;
  std::string type;
  std::string name;
  std::string content;
  bool proxied = false;
  std::int64_t ttl = 1;
  std::string comment;
  UtcTime created_at;
};

/// What Cloudflare would remember, with its rules for names. Not thread-safe: its owner locks.
class CloudflareState {
 public:
  /// An API error: HTTP status and numeric code. Codes as in the agent contract, section 7.3.
  struct Refusal {
    int status;
    int code;
    std::string_view message;
  };
  template <class T>
  struct Outcome {
    std::optional<T> value = {};
    std::optional<Refusal> refusal = {};
  };

  explicit CloudflareState(Random& random) : random_(random) {}

  Outcome<FakeTunnel> create_tunnel(const std::string& name, const std::string& secret, UtcTime now);
  /// Live and deleted ones, in the order of their creation.
  const std::vector<FakeTunnel>& tunnels() const { return tunnels_; }
  /// A live one. The pointer is good until the next change.
  FakeTunnel* find_tunnel(std::string_view id);
  std::optional<Refusal> configure(std::string_view id, std::vector<FakeIngressRule> ingress);
  std::optional<Refusal> drop_connections(std::string_view id);
  std::optional<Refusal> delete_tunnel(std::string_view id, UtcTime now);

  Outcome<FakeRecord> create_record(FakeRecord wanted, UtcTime now);
  Outcome<FakeRecord> update_record(std::string_view id, FakeRecord wanted);
  std::optional<Refusal> delete_record(std::string_view id);
  const std::vector<FakeRecord>& records() const { return records_; }

  std::size_t live_tunnels() const;
  void clear();

  /// 32 hex, or a random UUID.
  std::string new_hex_id();
  std::string new_uuid();

  static constexpr Refusal kNoTunnel{404, 1003, "tunnel not found"};
  static constexpr Refusal kNoRecord{404, 81044, "record does not exist"};

 private:
  std::optional<Refusal> name_conflict(const FakeRecord& wanted, std::string_view except_id) const;

  Random& random_;
  std::vector<FakeTunnel> tunnels_;
  std::vector<FakeRecord> records_;
};

/// base64 of `{"a":account,"t":tunnel id,"s":secret}`: what cloudflared is given.
std::string tunnel_token_text(std::string_view account, const FakeTunnel& tunnel);
struct TunnelTokenParts {
  std::string account;
  std::string tunnel_id;
  std::string secret;
};
std::optional<TunnelTokenParts> parse_tunnel_token(std::string_view token);

}  // namespace ee::standins
