#include "cp/service/billing_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/mp11.hpp>

#include "common/node_size.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/billing_meta_store.h"
#include "cp/store/segment_store.h"

namespace ee::cp {

namespace {

constexpr std::int64_t kHoursShown = 24;

using Milli = std::map<std::string, std::int64_t>;
using Texts = std::map<std::string, std::string>;

Texts texts_of(const Milli& multipliers) {
  Texts out;
  for (const auto& [name, milli] : multipliers) out[name] = to_multiplier_text(milli);
  return out;
}

Milli milli_of(const Texts& texts, std::string_view field, std::vector<FieldError>& problems) {
  Milli out;
  for (const auto& [name, text] : texts) {
    const auto milli = parse_multiplier(text);
    if (!milli)
      problems.push_back({.field = fmt::format("{}.{}", field, name),
                          .code = "bad_format",
                          .detail = "a number of 0 to 100 with at most three places, as text"});
    out[name] = milli.value_or(0);
  }
  return out;
}

struct RatesDetail {
  std::int64_t version = 0;
  UtcTime effective_at;
  std::string reason;
  RateCard before;
  RateCard after;
};
BOOST_DESCRIBE_STRUCT(RatesDetail, (), (version, effective_at, reason, before, after))
struct RatesDetailShort {
  std::int64_t version = 0;
  UtcTime effective_at;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(RatesDetailShort, (), (version, effective_at, reason))

/// With both cards while they fit an audit row; the cards themselves are never deleted.
std::string audit_detail(const RateCardVersion& made, const RateCard& before, const std::string& reason) {
  std::string detail = json::write(RatesDetail{.version = made.version,
                                               .effective_at = made.effective_at,
                                               .reason = reason,
                                               .before = before,
                                               .after = made.card});
  if (detail.size() <= AuditLogStore::kMaxDetail) return detail;
  return json::write(RatesDetailShort{.version = made.version, .effective_at = made.effective_at, .reason = reason});
}

Error field_problem(std::string field, std::string code, std::string detail) {
  return Error{.code = ErrorCode::invalid_request,
               .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}};
}

}  // namespace

Result<RatesView> BillingAdmin::view(const RateCardVersion& in_force) const {
  const RateCard& card = in_force.card;
  const BillingSettings settings = parts_.settings();
  RatesView out{.version = in_force.version,
                .effective_at = in_force.effective_at,
                .rates = {.vcpu_hour = {card.vcpu_hour_micros},
                          .memory_gib_hour = {card.memory_gib_hour_micros},
                          .gpu_hour = {card.gpu_hour_micros},
                          .storage_gib_month = {card.storage_gib_month_micros}},
                .sla_multipliers = texts_of(card.sla_milli),
                .machine_class_multipliers = texts_of(card.machine_class_milli),
                .datacenter_multipliers = texts_of(card.datacenter_milli),
                .operator_share_bps = settings.operator_bps,
                .contributor_pool_bps = settings.pool_bps,
                .sizes = {},
                .capacity_month = settings.capacity_month};
  std::optional<Error> failed;
  out.sizes.reserve(node_sizes().size());
  for (const NodeSize& size : node_sizes()) {
    SizePrice price{.node_size = std::string(size.name),
                    .vcpus = size.vcpus,
                    .memory_mib = size.memory_mib(),
                    .included_disk_gib = size.disk_gib,
                    .hourly = {}};
    const PricedResources resources{.vcpus = size.vcpus, .memory_mib = size.memory_mib()};
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<SlaClass>>([&](auto sla) {
      const auto rate = hourly_price(card, resources, sla.value);
      if (rate)
        price.hourly[sla.name] = *rate;
      else
        failed = rate.error();
    });
    out.sizes.push_back(std::move(price));
  }
  if (failed) return std::unexpected(std::move(*failed));
  return out;
}

Result<RatesView> BillingAdmin::rates(std::optional<UtcTime> at) const {
  const auto card = parts_.database.read<RateCardVersion>(
      [&](db::Transaction& tx) { return parts_.rates.in_force(tx, at.value_or(parts_.clock.now())); });
  if (!card) return std::unexpected(card.error());
  return view(*card);
}

Result<EstimateView> BillingAdmin::estimate(const EstimateRequest& wanted) const {
  PricedResources resources{.extra_disk_gib = wanted.extra_disk_gib, .datacenter = wanted.datacenter.value_or("")};
  if (wanted.datacenter && !parse_datacenter(*wanted.datacenter))
    return fail(field_problem("datacenter", "bad_format", "cloud:zone"));
  if (wanted.node_size) {
    if (wanted.vcpus || wanted.memory_mib || wanted.gpu_count)
      return fail(field_problem("node_size", "bad_format", "either a node size or resources"));
    const NodeSize* size = find_node_size(*wanted.node_size);
    if (size == nullptr) return fail(ErrorCode::unknown_node_size);
    resources.vcpus = size->vcpus;
    resources.memory_mib = size->memory_mib();
  } else {
    if (!wanted.vcpus || !wanted.memory_mib)
      return fail(field_problem(wanted.vcpus ? "memory_mib" : "vcpus", "required", "or a node size"));
    resources.vcpus = *wanted.vcpus;
    resources.memory_mib = *wanted.memory_mib;
    resources.gpu_count = wanted.gpu_count.value_or(0);
  }
  const auto card = parts_.database.read<RateCardVersion>(
      [&](db::Transaction& tx) { return parts_.rates.in_force(tx, parts_.clock.now()); });
  if (!card) return std::unexpected(card.error());
  const auto rate = hourly_price(card->card, resources, wanted.sla_class);
  if (!rate) return std::unexpected(rate.error());
  const std::int64_t hourly = rate->value * wanted.replicas;  // at most 10^13
  return EstimateView{.rate_version = card->version,
                      .replicas = wanted.replicas,
                      .hourly = {hourly},
                      .daily = {hourly * 24},
                      .monthly = {hourly * kHoursOfMonth}};
}

Result<RatesView> BillingAdmin::put_rates(const RateCardInput& input, const Actor& actor) const {
  std::vector<FieldError> problems;
  const RateCard card{
      .vcpu_hour_micros = input.rates.vcpu_hour.value,
      .memory_gib_hour_micros = input.rates.memory_gib_hour.value,
      .gpu_hour_micros = input.rates.gpu_hour.value,
      .storage_gib_month_micros = input.rates.storage_gib_month.value,
      .sla_milli = milli_of(input.sla_multipliers, "sla_multipliers", problems),
      .machine_class_milli = milli_of(input.machine_class_multipliers, "machine_class_multipliers", problems),
      .datacenter_milli = milli_of(input.datacenter_multipliers, "datacenter_multipliers", problems)};
  if (!is_full_hour(input.effective_at))
    problems.push_back({.field = "effective_at", .code = "bad_format", .detail = "a full hour"});
  std::ranges::move(check_rate_card(card), std::back_inserter(problems));
  // A price of a node size that is out of range would refuse every deployment on it.
  if (problems.empty() && !view({.version = 0, .effective_at = input.effective_at, .card = card}))
    problems.push_back({.field = "rates", .code = "above_max", .detail = "a node size would be out of range"});
  if (!problems.empty()) return fail(Error{.code = ErrorCode::invalid_rate_card, .fields = std::move(problems)});

  const UtcTime now = parts_.clock.now();
  const auto made = parts_.database.write<RateCardVersion>([&](db::Transaction& tx) -> Result<RateCardVersion> {
    const auto before = RateCardStore().in_force(tx, now);
    if (!before) return std::unexpected(before.error());
    auto card_made = RateCardStore().append(tx, card, input.effective_at, actor.name, input.reason, now);
    if (!card_made) return card_made;
    const auto noted = AuditLogStore().append(tx,
                                              {.actor = actor.name,
                                               .action = "rates_changed",
                                               .object_type = "rate_card",
                                               .object_id = std::to_string(card_made->version),
                                               .request_id = actor.request_id,
                                               .client_address = actor.client_address,
                                               .detail = audit_detail(*card_made, before->card, input.reason)},
                                              now, parts_.random);
    if (!noted) return std::unexpected(noted.error());
    return card_made;
  });
  parts_.rates.forget();
  if (!made) return std::unexpected(made.error());
  return view(*made);
}

Result<BillingStatusView> BillingAdmin::status() const {
  return parts_.database.read<BillingStatusView>([&](db::Transaction& tx) -> Result<BillingStatusView> {
    const ChargeStore store;
    const auto meta = store.meta(tx);
    if (!meta) return std::unexpected(meta.error());
    const auto hours = store.last_hours(tx, kHoursShown);
    if (!hours) return std::unexpected(hours.error());
    const auto failed = SegmentStore().failed_count(tx);
    if (!failed) return std::unexpected(failed.error());
    const auto reason = BillingMetaStore().halted_reason(tx);
    if (!reason) return std::unexpected(reason.error());
    BillingStatusView out;
    out.halted = reason->has_value();
    out.halted_reason = *reason;
    out.failed_segments = *failed;
    if (*meta) {
      out.next_hour_at = (*meta)->next_hour_at;
      const auto behind = parts_.clock.now() - (*meta)->next_hour_at - kHour;
      out.lag_seconds = std::max<std::int64_t>(0, std::chrono::duration_cast<Seconds>(behind).count());
    }
    out.last_hours.reserve(hours->size());
    for (const BillingHour& hour : *hours)
      out.last_hours.push_back({.hour_start_at = hour.hour_start_at,
                                .status = hour.status,
                                .rows_charged = hour.rows_charged,
                                .gross = hour.gross_micros,
                                .started_at = hour.started_at,
                                .finished_at = hour.finished_at});
    return out;
  });
}

}  // namespace ee::cp
