#include "tests/standins/cloudflare/faults.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ee::standins {

std::optional<Fault> FaultPlan::take(int call_number, std::string_view method, std::string_view path) {
  const auto it = std::ranges::find_if(faults_, [&](const Fault& fault) {
    if (fault.call_number && *fault.call_number != call_number) return false;
    if (!fault.method.empty() && fault.method != method) return false;
    return fault.path_contains.empty() || path.find(fault.path_contains) != path.npos;
  });
  if (it == faults_.end()) return std::nullopt;
  Fault fault = *it;
  if (--it->times <= 0) faults_.erase(it);
  return fault;
}

std::optional<Fault::Kind> fault_kind_of(std::string_view text) {
  using K = Fault::Kind;
  constexpr std::array<std::pair<std::string_view, K>, 7> kKinds = {{{"status", K::status},
                                                                     {"drop_before", K::drop_before},
                                                                     {"drop_after", K::drop_after},
                                                                     {"malformed", K::malformed},
                                                                     {"success_false", K::success_false},
                                                                     {"oversized", K::oversized},
                                                                     {"delay", K::delay}}};
  for (const auto& [name, kind] : kKinds)
    if (name == text) return kind;
  return std::nullopt;
}

}  // namespace ee::standins
