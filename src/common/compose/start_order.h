#pragma once
#include <string>
#include <vector>

#include "common/compose/compose.h"

namespace ee::compose {

/// Services by depends_on, each level after those it waits for; names in a level are sorted. Services in a cycle, and
/// those that wait for one, are in no level.
std::vector<std::vector<std::string>> start_levels(const std::vector<Service>& services);

/// Services that lie on a cycle of depends_on, sorted.
std::vector<std::string> services_in_cycles(const std::vector<Service>& services);

/// Indices in the order of starting: a service after all it waits for; among those that could be next, the first name.
/// Requires that there is no cycle.
std::vector<std::size_t> start_order(const std::vector<Service>& services);

}  // namespace ee::compose
