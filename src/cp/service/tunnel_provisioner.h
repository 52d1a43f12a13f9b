#pragma once
#include <expected>
#include <functional>
#include <optional>

#include "cp/service/tunnel_settings.h"
#include "cp/store/agent_store.h"

namespace ee::cp {

/// Makes an agent's tunnel, its ingress and its DNS record. Each step is stored before the next begins, so that a crash
/// anywhere is repaired by doing it again: the tunnel's name is the idempotency key. Thread-safe; an agent is worked on
/// by one thread at a time, by a claim in its row.
class TunnelProvisioner {
 public:
  explicit TunnelProvisioner(TunnelParts& parts) : parts_(parts) {}

  enum class Outcome : std::uint8_t {
    ready,
    not_claimed,  ///< not wanted any more, or another worker has it
    quota,        ///< cloudflare.max_tunnels: stays pending, no call was made
    failed,       ///< stored with its next attempt
    abandoned,    ///< the agent was deleted or quarantined meanwhile; what had been made was removed
    no_database,
  };
  Outcome provision(const AgentId& agent, const cloudflare::CallContext& context);

 private:
  struct Work;
  /// Why the work on a tunnel ended early.
  struct Stop {
    enum class Kind : std::uint8_t { cloudflare, lost, database, no_label } kind = Kind::cloudflare;
    cloudflare::CloudflareError error = {};
  };
  using Step = std::expected<void, Stop>;

  Result<std::optional<AgentRow>> claim(const AgentId& agent, Outcome& refused);
  Step run(Work& work);
  Step make_tunnel(Work& work);
  Step adopt_tunnel(Work& work);
  Step configure(Work& work);
  Step make_record(Work& work);
  Step update_record(Work& work, const std::string& record_id);
  Step take_next_label(Work& work);
  Step save(Work& work, const std::function<void(AgentRow&)>& change);
  Outcome give_up(Work& work, const Stop& stop);
  void undo(const Work& work);

  TunnelParts& parts_;
  AgentStore agents_;
};

}  // namespace ee::cp
