#include "common/compose/start_order.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/require.h"

namespace ee::compose {
namespace {

using Waits = std::map<std::string, std::set<std::string>>;

Waits waits_of(const std::vector<Service>& services) {
  Waits out;
  for (const Service& service : services)
    for (auto& wait = out[service.name]; const Dependency& dependency : service.depends_on)
      wait.insert(dependency.service);
  return out;
}

bool reaches(const Waits& waits, const std::string& from, const std::string& to, std::set<std::string>& seen) {
  const auto found = waits.find(from);
  if (found == waits.end()) return false;
  for (const std::string& next : found->second) {
    if (next == to) return true;
    if (seen.insert(next).second && reaches(waits, next, to, seen)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::vector<std::string>> start_levels(const std::vector<Service>& services) {
  Waits waits = waits_of(services);
  std::vector<std::vector<std::string>> out;
  while (true) {
    std::vector<std::string> level;
    for (const auto& [name, wait] : waits)
      if (wait.empty()) level.push_back(name);
    if (level.empty()) return out;
    for (const std::string& name : level) waits.erase(name);
    for (auto& [name, wait] : waits)
      for (const std::string& done : level) wait.erase(done);
    out.push_back(std::move(level));
  }
}

std::vector<std::string> services_in_cycles(const std::vector<Service>& services) {
  const Waits waits = waits_of(services);
  std::vector<std::string> out;
  for (const auto& [name, wait] : waits) {
    std::set<std::string> seen;
    if (reaches(waits, name, name, seen)) out.push_back(name);
  }
  return out;
}

std::vector<std::size_t> start_order(const std::vector<Service>& services) {
  Waits waits = waits_of(services);
  std::vector<std::size_t> out;
  while (!waits.empty()) {
    const auto next = std::ranges::find_if(waits, [](const auto& item) { return item.second.empty(); });
    require(next != waits.end());
    const std::string name = next->first;
    waits.erase(next);
    for (auto& [other, wait] : waits) wait.erase(name);
    const auto found = std::ranges::find(services, name, &Service::name);
    out.push_back(static_cast<std::size_t>(found - services.begin()));
  }
  return out;
}

}  // namespace ee::compose
