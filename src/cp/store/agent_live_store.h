#pragma once
#include <optional>
#include <span>
#include <vector>

#include "cp/domain/agent.h"
#include "db/database.h"

namespace ee::cp {

/// Table `agent_live`: written only by the flusher of service/live_map.h. Stateless.
class AgentLiveStore {
 public:
  /// Rows of one transaction of the flusher.
  static constexpr std::size_t kChunk = 2000;

  /// Inserts, or updates where the stored heartbeat is older. `stats` absent keeps the stored ones.
  Result<void> upsert(db::Transaction& tx, std::span<const AgentLiveRow> rows) const;
  Result<std::optional<AgentLiveRow>> get(db::Transaction& tx, const AgentId& id) const;
  /// At most `limit` rows with an id above `after`, by id.
  Result<std::vector<AgentLiveRow>> page(db::Transaction& tx, const AgentId& after, std::int64_t limit) const;
  /// Heartbeats dated later than `limit` are dated `now`: the clock that dated them was wrong. Reads the whole table.
  Result<void> bring_back(db::Transaction& tx, UtcTime limit, UtcTime now) const;
  Result<void> remove(db::Transaction& tx, const AgentId& id) const;
};

}  // namespace ee::cp
