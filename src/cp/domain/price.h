#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/money.h"
#include "common/time.h"

/// What running costs (04 section 7.1). Pure.
namespace ee::cp {

enum class SlaClass : std::uint8_t { adhoc, three_nines, four_nines, five_nines };
BOOST_DESCRIBE_ENUM(SlaClass, adhoc, three_nines, four_nines, five_nines)

constexpr std::string_view kDefaultMachineClass = "default";
constexpr std::string_view kAnyDatacenter = "*";
constexpr Seconds kHour{3600};
constexpr std::int64_t kHourMs = 3'600'000;
/// A month of storage is charged by 730 hours.
constexpr std::int64_t kHoursOfMonth = 730;
constexpr std::int64_t kMaxPriceMicros = 1'000'000'000;
constexpr std::int64_t kMaxMultiplierMilli = 100'000;
constexpr std::int64_t kMaxRateMicros = 100'000'000'000;  ///< of one hour of one deployment
constexpr std::size_t kMaxMultipliers = 200;              ///< of each kind

/// A rate card as `rate_cards.card` holds it, in JSON. Prices are micro-dollars, multipliers thousandths.
struct RateCard {
  std::int64_t vcpu_hour_micros = 0;
  std::int64_t memory_gib_hour_micros = 0;
  std::int64_t gpu_hour_micros = 0;
  std::int64_t storage_gib_month_micros = 0;
  std::map<std::string, std::int64_t> sla_milli = {};            ///< every SlaClass
  std::map<std::string, std::int64_t> machine_class_milli = {};  ///< at least `default`
  std::map<std::string, std::int64_t> datacenter_milli = {};  ///< at least `*`, which holds for all that are not named
  bool operator==(const RateCard&) const = default;
};
BOOST_DESCRIBE_STRUCT(RateCard, (),
                      (vcpu_hour_micros, memory_gib_hour_micros, gpu_hour_micros, storage_gib_month_micros, sla_milli,
                       machine_class_milli, datacenter_milli))

/// Version 1, in force from the beginning; the migration writes the same.
const RateCard& first_rate_card();

/// Everything that is wrong with a card; empty: it may be used. Fields are named as the API names them.
std::vector<FieldError> check_rate_card(const RateCard& card);

/// What a deployment is priced by: the resources of its agent, not what somebody asks for.
struct PricedResources {
  std::int64_t vcpus = 0;           ///< 0..1024
  std::int64_t memory_mib = 0;      ///< 0..16777216
  std::int64_t gpu_count = 0;       ///< 0..64
  std::int64_t extra_disk_gib = 0;  ///< 0..65536, beyond what the node size includes
  std::string machine_class = std::string(kDefaultMachineClass);
  std::string datacenter = {};
  bool operator==(const PricedResources&) const = default;
};

/// GiB of a data disk that are charged: those above the node size's own. An unknown size includes none.
std::int64_t extra_disk_gib(std::string_view node_size, std::int64_t disk_gib);

/// Price of one hour, rounded once, half up, to a whole micro-dollar:
///   ((vcpus*P_cpu + gpus*P_gpu)*1024 + memory_mib*P_mem)*730 + extra_disk_gib*P_sto*1024, times SLA, class and
///   datacenter multipliers, over 1024*730*10^9; in 128-bit integers.
/// Errors: `rate_out_of_range` for resources beyond their bounds, a machine class that the card does not know, or a
/// price above kMaxRateMicros.
Result<UsdMicros> hourly_price(const RateCard& card, const PricedResources& resources, SlaClass sla);

/// Begin of the hour that `time` lies in, UTC.
UtcTime hour_of(UtcTime time);
bool is_full_hour(UtcTime time);
/// Begin of the month that `time` lies in, UTC.
UtcTime month_of(UtcTime time);

/// `"1.500"`: a multiplier of 0 to 100 with at most three places; nothing otherwise.
std::optional<std::int64_t> parse_multiplier(std::string_view text);
std::string to_multiplier_text(std::int64_t milli);

}  // namespace ee::cp
