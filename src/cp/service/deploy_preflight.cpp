// What a deploy would find, and why there is no capacity; changes nothing.
#include <algorithm>

#include "common/json.h"
#include "common/problem.h"
#include "cp/service/deploy_order.h"

namespace ee::cp {
namespace {

constexpr Seconds kNoCapacityRetry{30};

}  // namespace

Error Deployments::no_capacity(const Order& order, Error error) {
  if (!error.retry_after) error.retry_after = kNoCapacityRetry;
  const auto seen = parts_.database.read<PreflightAnswer>([&](db::Transaction& tx) { return look(tx, order, {}, 0); });
  if (!seen) return error;
  error.members.push_back({.name = std::string(kReasonsMember), .value = json::write(seen->reasons)});
  return error;
}

Result<PreflightAnswer> Deployments::look(db::Transaction& tx, const Order& order,
                                          const std::vector<PreflightIssue>& issues, std::int64_t named) const {
  PreflightAnswer answer{.dry_run = true,
                         .eligible = false,
                         .selected = {},
                         .version = {},
                         .hourly_price = {},
                         .issues = issues,
                         .reasons = {},
                         .agents = {},
                         .agents_truncated = false,
                         .will_consume_reservation = false};
  const std::int64_t most = parts_.settings().preflight_scan;
  PlacementQuestion question = order.question;
  if (order.sizes.size() == 1 || order.request.node_size) question.node_size = order.sizes.front();
  AgentId after;
  std::int64_t scanned = 0;
  for (bool more = true; more;) {
    const std::int64_t want = std::min<std::int64_t>(1000, most - scanned);
    if (want <= 0) {
      answer.agents_truncated = true;
      break;
    }
    const auto rows = agents_.visible(tx, order.caller, after, want);
    if (!rows) return std::unexpected(rows.error());
    more = static_cast<std::int64_t>(rows->size()) == want;
    for (const PlacementCandidate& row : *rows) {
      ++scanned;
      after = row.id;
      PreflightAgent shown{.id = row.id.str(),
                           .vm_name = row.vm_name,
                           .node_size = row.node_size,
                           .datacenter = row.datacenter,
                           .reasons = {}};
      for (const PlacementReason reason : placement_reasons(question, order.caller, row)) {
        shown.reasons.emplace_back(name_of(reason));
        ++answer.reasons[shown.reasons.back()];
      }
      if (static_cast<std::int64_t>(answer.agents.size()) < named) {
        answer.agents.push_back(std::move(shown));
      } else {
        answer.agents_truncated = true;
      }
    }
  }
  const auto chosen = parts_.placer.select(tx, question, order.caller, order.sizes);
  if (!chosen) return std::unexpected(chosen.error());
  const auto least = estimate(tx, order);
  if (!least) return std::unexpected(least.error());
  answer.hourly_price = *least;
  if (!*chosen) return answer;
  const PlacementCandidate& agent = **chosen;
  answer.eligible = issues.empty();
  answer.selected = PreflightSelected{.id = agent.id.str(),
                                      .vm_name = agent.vm_name,
                                      .node_size = agent.node_size,
                                      .datacenter = agent.datacenter,
                                      .cloud = agent.cloud};
  const auto open = reservations_.open_of(tx, agent.id);
  if (!open) return std::unexpected(open.error());
  answer.will_consume_reservation = open->has_value();
  if (order.version)
    for (const DeployableVariant& variant : order.version->variants)
      if (variant.node_size == agent.node_size || (variant.node_size.empty() && !answer.version))
        answer.version = PreflightVersion{.id = variant.id, .node_size = variant.node_size};
  return answer;
}

Result<PreflightAnswer> Deployments::preflight(const DeploymentCall& call, const DeployRequest& request) {
  const auto order = order_of(call, request);
  if (!order) return std::unexpected(order.error());
  return parts_.database.read<PreflightAnswer>([&](db::Transaction& tx) -> Result<PreflightAnswer> {
    std::vector<PreflightIssue> issues;
    const auto note = [&](const Error& error) {
      issues.push_back({.code = std::string(slug(error.code)), .detail = error.detail, .field = {}});
    };
    const auto service = services_.find(tx, order->service);
    if (!service) return std::unexpected(service.error());
    if (*service && (*service)->account_id != order->account) note({.code = ErrorCode::service_name_taken});
    if (order->request.replaces) {
      const auto replaced = check_replaced(tx, *order, *service ? **service : ServiceRow());
      if (!replaced) note(replaced.error());
    }
    const auto active = rows_.count_active(tx, order->account);
    if (!active) return std::unexpected(active.error());
    if (*active + order->replicas > parts_.settings().max_active) note({.code = ErrorCode::deployment_limit});
    const auto least = estimate(tx, *order);
    if (!least) return std::unexpected(least.error());
    if (auto funds = parts_.billing.admit(tx, order->account, *least, order->replicas); !funds) note(funds.error());
    return look(tx, *order, issues, 50);
  });
}

}  // namespace ee::cp
