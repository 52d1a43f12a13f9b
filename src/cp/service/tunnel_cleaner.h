#pragma once
#include "cp/service/tunnel_removal.h"
#include "cp/store/agent_store.h"

namespace ee::cp {

/// Removes what an agent holds outside: of one that is being deleted, which then becomes a tombstone, and of one that
/// lost trust, which keeps its host name for its return. Thread-safe; never gives up.
class TunnelCleaner {
 public:
  explicit TunnelCleaner(TunnelParts& parts) : parts_(parts) {}

  enum class Outcome : std::uint8_t { done, not_claimed, failed, no_database };
  Outcome clean(const AgentId& agent, const cloudflare::CallContext& context);

 private:
  struct Work {
    AgentRow row;
    UtcTime claimed_until;
    bool deleting_agent = false;  // else only its tunnel
  };
  Result<std::optional<Work>> claim(const AgentId& agent);
  Result<bool> finish(const Work& work);
  Result<bool> postpone(const Work& work, const cloudflare::CloudflareError& error);
  bool still_claimed(const AgentRow& row, const Work& work) const;

  TunnelParts& parts_;
  AgentStore agents_;
};

}  // namespace ee::cp
