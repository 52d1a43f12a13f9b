#include "cp/service/placer.h"

#include <algorithm>

#include "common/json.h"
#include "common/problem.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kFirstRows = 2;  ///< mostly the first one is it

/// Whether the index alone does not decide.
bool has_residual(const PlacementQuestion& question, const PlacementVariant* variant) {
  return !question.min_agent_version.empty() || question.wants.nano_cpus > 0 || question.wants.memory_mib > 0 ||
         question.wants.gpu_count > 0 || (variant != nullptr && variant->mrtd);
}

}  // namespace

Error not_eligible(const std::vector<PlacementReason>& reasons) {
  Error error{.code = ErrorCode::agent_not_eligible, .detail = "the agent cannot take the deployment"};
  error.members.push_back({.name = std::string(kReasonsMember), .value = json::write(reasons)});
  return error;
}

Result<std::vector<std::string>> Placer::datacenters(db::Transaction& tx, const PlacementRules& rules,
                                                     const std::string& key, const std::string& size,
                                                     const DatacenterUse& used) const {
  std::vector<std::string> out;
  if (!rules.datacenters.empty()) {
    for (const std::string& listed : rules.datacenters)
      if (datacenter_allowed(rules, listed)) out.push_back(listed);
  } else {
    std::string after;
    for (int i = 0; i < kMostDatacenters; ++i) {
      auto next = agents_.next_datacenter(tx, key, size, after);
      if (!next) return std::unexpected(next.error());
      if (!*next) break;
      after = **next;
      if (datacenter_allowed(rules, after)) out.push_back(after);
    }
  }
  const auto uses = [&](const std::string& datacenter) {
    const auto found = used.find(datacenter);
    return found == used.end() ? 0 : found->second;
  };
  // Not std::stable_sort: the position decides between equals.
  std::vector<std::pair<std::int64_t, std::size_t>> order;
  for (std::size_t i = 0; i < out.size(); ++i) order.emplace_back(uses(out[i]), i);
  std::ranges::sort(order);
  std::vector<std::string> sorted;
  sorted.reserve(order.size());
  for (const auto& [count, index] : order) sorted.push_back(out[index]);
  return sorted;
}

template <class Take>
Result<bool> Placer::walk(db::Transaction& tx, const PlacementQuestion& question, const PlacementCaller& caller,
                          const std::vector<std::string>& sizes, const DatacenterUse& used, const Take& take) const {
  const PlacementRules& rules = question.wants.rules;
  // `rows`: the first kFirstRows of the pool, or all that it has. The more are refused, the more are read at once.
  const auto look_in = [&](const std::string& key, const PlacementQuestion& asked, std::int64_t most,
                           const std::string& datacenter, std::vector<PlacementCandidate> rows) -> Result<bool> {
    std::int64_t seen = 0;
    for (std::int64_t limit = kFirstRows;;) {
      for (; seen < std::ssize(rows); ++seen) {
        const PlacementCandidate& row = rows[static_cast<std::size_t>(seen)];
        if (!placement_reasons(asked, caller, row).empty()) continue;
        const Result<bool> took = take(row);
        if (!took || *took) return took;
      }
      if (std::ssize(rows) < limit || seen >= most) return false;
      limit = std::min(limit * 8, most);
      auto more = agents_.idle(tx, key, *asked.node_size, datacenter, limit);
      if (!more) return std::unexpected(more.error());
      rows = std::move(*more);
    }
  };
  for (const std::string& key : placement_keys(caller)) {
    for (const std::string& size : sizes) {
      const PlacementVariant* variant = variant_for(question.wants, size);
      if (question.wants.variants && variant == nullptr) continue;
      PlacementQuestion asked = question;
      asked.node_size = size;
      const std::int64_t most = has_residual(question, variant) ? kMostRows : kMostLosses;
      if (!rules.datacenters.empty() || !used.empty()) {
        const auto places = datacenters(tx, rules, key, size, used);
        if (!places) return std::unexpected(places.error());
        for (const std::string& place : *places) {
          auto rows = agents_.idle(tx, key, size, place, kFirstRows);
          if (!rows) return std::unexpected(rows.error());
          if (const Result<bool> done = look_in(key, asked, most, place, std::move(*rows)); !done || *done) return done;
        }
        continue;
      }
      // By name, and mostly the first one will do: the next is looked for when it must be.
      std::string place;
      for (int i = 0; i < kMostDatacenters; ++i) {
        auto rows = agents_.idle_after(tx, key, size, place, kFirstRows);
        if (!rows) return std::unexpected(rows.error());
        if (rows->empty()) break;
        place = rows->front().datacenter;
        std::erase_if(*rows, [&](const PlacementCandidate& row) { return row.datacenter != place; });
        if (!datacenter_allowed(rules, place)) continue;
        if (const Result<bool> done = look_in(key, asked, most, place, std::move(*rows)); !done || *done) return done;
      }
    }
  }
  return false;
}

Result<Placer::Attempt> Placer::attempt(db::Transaction& tx, const PlacementQuestion& question,
                                        const PlacementCaller& caller, const std::vector<std::string>& sizes,
                                        const DeploymentId& deployment, const DatacenterUse& used, UtcTime now) const {
  Attempt made;
  const auto found = walk(tx, question, caller, sizes, used, [&](const PlacementCandidate& row) -> Result<bool> {
    auto claimed = slots_.claim(tx, row.id, deployment, now);
    if (!claimed) return std::unexpected(claimed.error());
    made.won = std::move(*claimed);
    if (made.won) return true;
    counters_.claim_losses.increment();
    return ++made.losses >= kMostLosses;
  });
  if (!found) return std::unexpected(found.error());
  return made;
}

Result<std::optional<AgentRow>> Placer::claim(db::Transaction& tx, const PlacementQuestion& question,
                                              const PlacementCaller& caller, const std::vector<std::string>& sizes,
                                              const DeploymentId& deployment, const DatacenterUse& used,
                                              UtcTime now) const {
  auto made = attempt(tx, question, caller, sizes, deployment, used, now);
  if (!made) return std::unexpected(made.error());
  return std::move(made->won);
}

Result<AgentRow> Placer::claim_or_refuse(db::Transaction& tx, const PlacementQuestion& question,
                                         const PlacementCaller& caller, const std::vector<std::string>& sizes,
                                         const DeploymentId& deployment, const DatacenterUse& used, UtcTime now) const {
  auto made = attempt(tx, question, caller, sizes, deployment, used, now);
  if (!made) return std::unexpected(made.error());
  if (made->won) return std::move(*made->won);
  Error none{.code = ErrorCode::no_capacity};
  if (made->losses >= kMostLosses) none.retry_after = kLossRetry;
  return fail(std::move(none));
}

Result<AgentRow> Placer::claim_pinned(db::Transaction& tx, const PlacementQuestion& question,
                                      const PlacementCaller& caller, const DeploymentId& deployment,
                                      UtcTime now) const {
  const auto agent = agents_.visible_by_name(tx, caller, *question.agent_name);
  if (!agent) return std::unexpected(agent.error());
  if (!*agent) return fail(ErrorCode::agent_not_found);
  const auto reasons = placement_reasons(question, caller, **agent);
  if (!reasons.empty()) return fail(not_eligible(reasons));
  auto claimed = slots_.claim(tx, (*agent)->id, deployment, now);
  if (!claimed) return std::unexpected(claimed.error());
  if (!*claimed) return fail(not_eligible({PlacementReason::agent_status_not_deployable}));
  return std::move(**claimed);
}

Result<std::optional<PlacementCandidate>> Placer::select(db::Transaction& tx, const PlacementQuestion& question,
                                                         const PlacementCaller& caller,
                                                         const std::vector<std::string>& sizes) const {
  std::optional<PlacementCandidate> chosen;
  if (question.agent_name) {
    const auto agent = agents_.visible_by_name(tx, caller, *question.agent_name);
    if (!agent) return std::unexpected(agent.error());
    if (*agent && placement_reasons(question, caller, **agent).empty()) chosen = **agent;
    return chosen;
  }
  const auto found = walk(tx, question, caller, sizes, {}, [&](const PlacementCandidate& row) -> Result<bool> {
    chosen = row;
    return true;
  });
  if (!found) return std::unexpected(found.error());
  return chosen;
}

}  // namespace ee::cp
