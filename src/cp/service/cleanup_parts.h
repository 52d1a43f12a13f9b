#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cp/service/cleanup.h"

namespace ee::cp {

/// One thing that may go.
struct Cleanup::Item {
  CleanupScope scope = CleanupScope::tunnels;
  CleanupCandidate shown = {};
  std::variant<AgentId, TunnelResource, RecordResource> what = {};
};

struct Cleanup::Plan {
  std::vector<Item> items = {};
  std::vector<CleanupSkipped> skipped = {};
  std::vector<CleanupScopeError> errors = {};
  bool truncated = false;
  bool mass = false;  ///< most of what is ours looks orphaned

  /// Of what may go, whatever its order.
  std::string hash() const;
  /// Takes it, unless there are enough.
  void add(Item item, std::int64_t most) {
    if (std::ssize(items) < most)
      items.push_back(std::move(item));
    else
      truncated = true;
  }
};

}  // namespace ee::cp
