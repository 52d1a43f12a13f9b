#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/price.h"
#include "cp/store/charge_store.h"

/// JSON bodies of the routes of prices and charging (04 sections 7.1, 7.4, 10).
namespace ee::cp {

struct RatePrices {
  UsdMicros vcpu_hour = {};
  UsdMicros memory_gib_hour = {};
  UsdMicros gpu_hour = {};
  UsdMicros storage_gib_month = {};
};
BOOST_DESCRIBE_STRUCT(RatePrices, (), (vcpu_hour, memory_gib_hour, gpu_hour, storage_gib_month))
constexpr std::string_view json_name(json::For<RatePrices>) { return "RatePrices"; }

struct SizePrice {
  std::string node_size = {};
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
  std::int64_t included_disk_gib = 0;
  std::map<std::string, UsdMicros> hourly = {};  ///< by SLA class
};
BOOST_DESCRIBE_STRUCT(SizePrice, (), (node_size, vcpus, memory_mib, gpu_count, included_disk_gib, hourly))
constexpr std::string_view json_name(json::For<SizePrice>) { return "SizePrice"; }

/// `GET /api/v1/billing/rates`. Multipliers are decimal texts with three places.
struct RatesView {
  std::int64_t version = 0;
  UtcTime effective_at = {};
  std::string currency = "USD";
  RatePrices rates = {};
  std::map<std::string, std::string> sla_multipliers = {};
  std::map<std::string, std::string> machine_class_multipliers = {};
  std::map<std::string, std::string> datacenter_multipliers = {};
  std::int64_t operator_share_bps = 0;
  std::int64_t contributor_pool_bps = 0;
  std::vector<SizePrice> sizes = {};
  std::map<std::string, UsdMicros> capacity_month = {};  ///< one unit of warm capacity, by node size
};
BOOST_DESCRIBE_STRUCT(RatesView, (),
                      (version, effective_at, currency, rates, sla_multipliers, machine_class_multipliers,
                       datacenter_multipliers, operator_share_bps, contributor_pool_bps, sizes, capacity_month))
constexpr std::string_view json_name(json::For<RatesView>) { return "Rates"; }

/// `PUT /api/v1/admin/billing/rates`: a whole card.
struct RateCardInput {
  UtcTime effective_at = {};
  std::string reason = {};
  RatePrices rates = {};
  std::map<std::string, std::string> sla_multipliers = {};
  std::map<std::string, std::string> machine_class_multipliers = {};
  std::map<std::string, std::string> datacenter_multipliers = {};
};
BOOST_DESCRIBE_STRUCT(RateCardInput, (),
                      (effective_at, reason, rates, sla_multipliers, machine_class_multipliers, datacenter_multipliers))
constexpr auto json_rules(json::For<RateCardInput>) {
  return std::array{json::field("reason").length(1, 500), json::field("sla_multipliers").items(0, kMaxMultipliers),
                    json::field("machine_class_multipliers").items(0, kMaxMultipliers),
                    json::field("datacenter_multipliers").items(0, kMaxMultipliers)};
}
constexpr std::string_view json_name(json::For<RateCardInput>) { return "RateCardInput"; }

/// `POST /api/v1/billing/estimate`: a node size, or resources.
struct EstimateRequest {
  std::optional<std::string> node_size = {};
  std::optional<std::int64_t> vcpus = {};
  std::optional<std::int64_t> memory_mib = {};
  std::optional<std::int64_t> gpu_count = {};
  std::int64_t extra_disk_gib = 0;
  SlaClass sla_class = SlaClass::adhoc;
  std::optional<std::string> datacenter = {};
  std::int64_t replicas = 1;
};
BOOST_DESCRIBE_STRUCT(EstimateRequest, (),
                      (node_size, vcpus, memory_mib, gpu_count, extra_disk_gib, sla_class, datacenter, replicas))
constexpr auto json_rules(json::For<EstimateRequest>) {
  return std::array{json::field("node_size").length(1, 32),
                    json::field("vcpus").between(0, 1024),
                    json::field("memory_mib").between(0, 16'777'216),
                    json::field("gpu_count").between(0, 64),
                    json::field("extra_disk_gib").between(0, 65'536).defaulted(),
                    json::field("sla_class").defaulted(),
                    json::field("datacenter").length(1, 100),
                    json::field("replicas").between(1, 100).defaulted()};
}
constexpr std::string_view json_name(json::For<EstimateRequest>) { return "Estimate"; }

struct EstimateView {
  std::int64_t rate_version = 0;
  std::int64_t replicas = 1;
  UsdMicros hourly = {};  ///< of all replicas
  UsdMicros daily = {};
  UsdMicros monthly = {};  ///< 730 hours
};
BOOST_DESCRIBE_STRUCT(EstimateView, (), (rate_version, replicas, hourly, daily, monthly))
constexpr std::string_view json_name(json::For<EstimateView>) { return "EstimateAnswer"; }

struct BillingHourView {
  UtcTime hour_start_at = {};
  HourStatus status = HourStatus::charging;
  std::int64_t rows_charged = 0;
  UsdMicros gross = {};
  UtcTime started_at = {};
  std::optional<UtcTime> finished_at = {};
};
BOOST_DESCRIBE_STRUCT(BillingHourView, (), (hour_start_at, status, rows_charged, gross, started_at, finished_at))
constexpr std::string_view json_name(json::For<BillingHourView>) { return "BillingHour"; }

/// `GET /api/v1/admin/billing/status`.
struct BillingStatusView {
  std::optional<UtcTime> next_hour_at = {};  ///< null before anything ran
  std::int64_t lag_seconds = 0;
  bool halted = false;
  std::optional<std::string> halted_reason = {};
  std::vector<BillingHourView> last_hours = {};  ///< newest first, at most 24
  std::int64_t failed_segments = 0;
};
BOOST_DESCRIBE_STRUCT(BillingStatusView, (),
                      (next_hour_at, lag_seconds, halted, halted_reason, last_hours, failed_segments))
constexpr std::string_view json_name(json::For<BillingStatusView>) { return "BillingStatus"; }

/// `POST /api/v1/admin/billing/retry`.
struct SegmentRetryRequest {
  std::string segment_id = {};
  std::string reason = {};  ///< for the audit log
};
BOOST_DESCRIBE_STRUCT(SegmentRetryRequest, (), (segment_id, reason))
constexpr auto json_rules(json::For<SegmentRetryRequest>) {
  return std::array{json::field("segment_id").uuid(), json::field("reason").length(1, 500)};
}
constexpr std::string_view json_name(json::For<SegmentRetryRequest>) { return "SegmentRetry"; }

struct SegmentRetryView {
  std::string segment_id = {};
  std::int64_t hours = 0;
  UsdMicros amount = {};
};
BOOST_DESCRIBE_STRUCT(SegmentRetryView, (), (segment_id, hours, amount))
constexpr std::string_view json_name(json::For<SegmentRetryView>) { return "SegmentRetryAnswer"; }

}  // namespace ee::cp
