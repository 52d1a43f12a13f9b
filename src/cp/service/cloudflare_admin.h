#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/cloudflare_api.h"
#include "cp/service/tunnel_service.h"
#include "db/database.h"

namespace ee::cp {

/// What administrators see and remove of Cloudflare (05 section 10). Thread-safe; calls wait for Cloudflare.
///
/// Errors of all calls but `status`: cloudflare_not_configured, cloudflare_error (with the API's numeric code as the
/// member `provider_code`), upstream_timeout, those of the database. A removal fails closed: what cannot be read is not
/// removed.
class CloudflareAdmin {
 public:
  static constexpr Seconds kListLife{30};

  struct Parts {
    TunnelService& tunnels;
    db::Database& database;
    Clock& clock;
    Random& random;
    const CursorCodec& cursors;
    std::function<std::vector<std::string>()> missing;  ///< keys of settings that are empty and needed
  };
  /// All outlive it.
  explicit CloudflareAdmin(Parts parts) : parts_(std::move(parts)) {}

  /// `validate`: asks whether the API token works; a refusal is part of the answer.
  CloudflareStatusView status(bool validate, const cloudflare::CallContext& context);

  struct Wanted {
    std::optional<bool> orphaned = {};  ///< only those that are, or are not
    bool refresh = false;               ///< not from the list that was made up to 30 s ago
    PageRequest page = {};
  };
  Result<TunnelPage> tunnels(const Wanted& wanted, const cloudflare::CallContext& context);
  Result<RecordPage> records(const Wanted& wanted, const cloudflare::CallContext& context);

  /// Errors: also not_found (no id of a tunnel), tunnel_protected, tunnel_foreign, tunnel_in_use, reap_hold. With
  /// `force` a live agent loses its tunnel and host name, and gets them anew.
  Result<TunnelDeleted> delete_tunnel(const std::string& id, bool force, const Actor& actor,
                                      const cloudflare::CallContext& context);
  /// Errors: also not_found, dns_foreign, dns_in_use, reap_hold.
  Result<RecordDeleted> delete_record(const std::string& id, bool force, const Actor& actor,
                                      const cloudflare::CallContext& context);

 private:
  using ListPtr = std::shared_ptr<const ResourceList>;
  struct Listed {
    ListPtr list;
    SteadyTime at;
  };
  Result<ListPtr> list(bool refresh, const cloudflare::CallContext& context);
  Result<std::optional<AgentRow>> agent(const AgentId& id);
  /// Whether what belongs to this agent may go. `in_use`: what is said of a live one.
  Result<bool> belongs_to_live(const AgentId& id);
  Result<void> replace(const AgentId& agent, const Actor& actor, std::string_view action, const std::string& id,
                       const cloudflare::CallContext& context);
  Result<void> audit(std::string_view action, std::string_view type, const std::string& id, const Actor& actor,
                     const std::string& detail);
  void forget();

  Parts parts_;
  AgentStore agents_;
  std::mutex list_mutex_;  ///< held while a list is made: at most one at a time
  std::mutex mutex_;       ///< guards the last one
  std::optional<Listed> listed_;
  std::uint64_t removals_ = 0;  ///< a list that was begun before one is not kept
};

/// What a caller hears of a call to Cloudflare that failed.
Error cloudflare_problem(const cloudflare::CloudflareError& error);

}  // namespace ee::cp
