#include "cp/service/billing.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/json.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/charge_store.h"
#include "cp/store/funds_store.h"

namespace ee::cp {

namespace {

struct ClampDetail {
  std::string deployment_id;
  UtcTime wanted_at;
  UtcTime to_at;
};
BOOST_DESCRIBE_STRUCT(ClampDetail, (), (deployment_id, wanted_at, to_at))

Error refused_for_money(UsdMicros balance, std::int64_t available, std::int64_t required) {
  return Error{.code = ErrorCode::insufficient_funds,
               .detail = "available funds do not cover everything that would run",
               .members = {{"balance", to_usd_text(balance)},
                           {"available", to_usd_text({available})},
                           {"required", to_usd_text({required})}}};
}

}  // namespace

Result<UsdMicros> Billing::hourly_price(db::Transaction& tx, const PricedResources& resources, SlaClass sla) const {
  const auto card = parts_.rates.in_force(tx, parts_.clock.now());
  if (!card) return std::unexpected(card.error());
  return cp::hourly_price(card->card, resources, sla);
}

Result<void> Billing::open_segment(db::Transaction& tx, const RunningDeployment& deployment, UtcTime at) const {
  const SegmentStore segments;
  const ChargeStore charges;
  const UtcTime now = parts_.clock.now();
  const auto last = segments.last(tx, deployment.deployment_id);
  if (!last) return std::unexpected(last.error());
  if (*last && !(*last)->to_at) return {};
  const auto card = parts_.rates.in_force(tx, now);
  if (!card) return std::unexpected(card.error());
  const auto rate = cp::hourly_price(card->card, deployment.resources, deployment.sla_class);
  if (!rate) return std::unexpected(rate.error());

  UtcTime from = std::min(at, now);
  if (auto begun = charges.begin_at(tx, hour_of(from)); !begun) return begun;
  const auto meta = charges.meta(tx);
  if (!meta) return std::unexpected(meta.error());
  if (*meta) from = std::max(from, (*meta)->next_hour_at);  // what is charged is never reopened
  if (*last) from = std::max(from, (*last)->to_at.value_or(from));
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  const BillingSettings settings = parts_.settings();
  return segments.open(tx, {.id = *id,
                            .deployment_id = deployment.deployment_id,
                            .seq = *last ? (*last)->seq + 1 : 1,
                            .account_id = deployment.account_id,
                            .agent_id = deployment.agent_id,
                            .agent_account_id = deployment.agent_account_id,
                            .app_id = deployment.app_id,
                            .vcpus = deployment.resources.vcpus,
                            .memory_mib = deployment.resources.memory_mib,
                            .gpu_count = deployment.resources.gpu_count,
                            .extra_disk_gib = deployment.resources.extra_disk_gib,
                            .sla_class = deployment.sla_class,
                            .machine_class = deployment.resources.machine_class,
                            .datacenter = deployment.resources.datacenter,
                            .rate_micros = *rate,
                            .rate_version = card->version,
                            .operator_bps = settings.operator_bps,
                            .pool_bps = settings.pool_bps,
                            .from_at = from,
                            .charged_to_at = from});
}

Result<void> Billing::close_segment(db::Transaction& tx, const DeploymentId& deployment, UtcTime at) const {
  const SegmentStore segments;
  const auto open = segments.find_open(tx, deployment);
  if (!open) return std::unexpected(open.error());
  if (!*open) return {};
  const SegmentRow& segment = **open;
  const UtcTime wanted = std::max(std::min(at, parts_.clock.now()), segment.from_at);
  const UtcTime to = std::max(wanted, segment.charged_to_at);
  if (auto closed = segments.close(tx, segment.id, to); !closed) return closed;
  if (to == wanted) return {};
  return note_clamp(tx, segment, wanted, to);
}

Result<void> Billing::note_clamp(db::Transaction& tx, const SegmentRow& segment, UtcTime wanted, UtcTime to) const {
  const ClampDetail detail{.deployment_id = segment.deployment_id.str(), .wanted_at = wanted, .to_at = to};
  const auto noted = AuditLogStore().append(tx,
                                            {.actor = "system:billing",
                                             .action = "usage_close_clamped",
                                             .object_type = "segment",
                                             .object_id = segment.id,
                                             .detail = json::write(detail)},
                                            parts_.clock.now(), parts_.random);
  if (!noted) return std::unexpected(noted.error());
  return {};
}

Result<void> Billing::admit(db::Transaction& tx, const AccountId& account, UsdMicros rate,
                            std::int64_t replicas) const {
  const BillingSettings settings = parts_.settings();
  if (!settings.enabled) return {};
  const FundsStore funds;
  const UtcTime now = parts_.clock.now();
  const auto found = funds.find(tx, account);
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(ErrorCode::account_not_found);
  const AccountFunds* row = &**found;
  if (row->dispute_hold) return fail(ErrorCode::account_on_hold);
  const auto use = SegmentStore().use_of(tx, account, now);
  if (!use) return std::unexpected(use.error());
  const auto pending = parts_.deployments.pending_burn(tx, account);
  if (!pending) return std::unexpected(pending.error());
  const std::int64_t available =
      saturated_sum(row->balance_micros.value, row->credit_limit_micros.value - use->accrued.value);
  std::int64_t burn = saturated_sum(use->burn.value, pending->value);
  burn = saturated_sum(burn, saturated_product(rate.value, replicas));
  const std::int64_t required = saturated_product(burn, settings.min_prepaid_hours);
  const BillingState state = row->billing_state;
  if (available < required || state == BillingState::grace || state == BillingState::exhausted)
    return fail(refused_for_money(row->balance_micros, available, required));
  if (!row->spend_limit_micros) return {};
  const auto charged = funds.charged_since(tx, account, month_of(now));
  if (!charged) return std::unexpected(charged.error());
  if (saturated_sum(charged->value, use->accrued.value) >= row->spend_limit_micros->value)
    return fail(ErrorCode::spend_limit_reached);
  return {};
}

}  // namespace ee::cp
