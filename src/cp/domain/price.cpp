#include "cp/domain/price.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/mp11.hpp>

#include "common/node_size.h"

namespace ee::cp {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::int64_t kMaxVcpus = 1024;
constexpr std::int64_t kMaxMemoryMib = 16'777'216;
constexpr std::int64_t kMaxGpus = 64;
constexpr std::int64_t kMaxExtraDiskGib = 65'536;
constexpr std::int64_t kMibOfGib = 1024;
constexpr std::size_t kMaxClassName = 64;

// The largest numerator there can be, doubled for rounding, fits: 2 * 1.4e19 * 10^15 < 2^128.
static_assert((static_cast<long double>(kMaxVcpus + kMaxGpus) * kMibOfGib + kMaxMemoryMib) * kMaxPriceMicros *
                      kHoursOfMonth * 2 * kMaxMultiplierMilli * kMaxMultiplierMilli * kMaxMultiplierMilli +
                  static_cast<long double>(kMaxExtraDiskGib) * kMaxPriceMicros * kMibOfGib * 2 * kMaxMultiplierMilli *
                      kMaxMultiplierMilli * kMaxMultiplierMilli <
              3.4e38L);

Wide wide(std::int64_t value) { return static_cast<Wide>(value); }

bool within(std::int64_t value, std::int64_t max) { return value >= 0 && value <= max; }

std::optional<std::int64_t> multiplier(const std::map<std::string, std::int64_t>& of, const std::string& name) {
  const auto found = of.find(name);
  if (found == of.end() || !within(found->second, kMaxMultiplierMilli)) return std::nullopt;
  return found->second;
}

void check_price(std::vector<FieldError>& problems, std::string_view name, std::int64_t micros) {
  if (!within(micros, kMaxPriceMicros))
    problems.push_back({.field = fmt::format("rates.{}", name),
                        .code = micros < 0 ? "below_min" : "above_max",
                        .detail = fmt::format("0 to {}", to_usd_text({kMaxPriceMicros}))});
}

void check_multipliers(std::vector<FieldError>& problems, std::string_view field,
                       const std::map<std::string, std::int64_t>& all) {
  if (all.size() > kMaxMultipliers)
    problems.push_back(
        {.field = std::string(field), .code = "too_many", .detail = fmt::format("at most {}", kMaxMultipliers)});
  for (const auto& [name, milli] : all) {
    if (name.empty() || name.size() > kMaxClassName)
      problems.push_back({.field = std::string(field), .code = "bad_format", .detail = "names have 1 to 64 bytes"});
    if (!within(milli, kMaxMultiplierMilli))
      problems.push_back({.field = fmt::format("{}.{}", field, name), .code = "above_max", .detail = "0 to 100"});
  }
}

void require_name(std::vector<FieldError>& problems, std::string_view field,
                  const std::map<std::string, std::int64_t>& all, std::string_view name) {
  if (!all.contains(std::string(name)))
    problems.push_back({.field = fmt::format("{}.{}", field, name), .code = "required", .detail = {}});
}

}  // namespace

const RateCard& first_rate_card() {
  static const RateCard card{
      .vcpu_hour_micros = 40'000,
      .memory_gib_hour_micros = 5'000,
      .gpu_hour_micros = 500'000,
      .storage_gib_month_micros = 100'000,
      .sla_milli = {{"adhoc", 1000}, {"three_nines", 1500}, {"four_nines", 2000}, {"five_nines", 3000}},
      .machine_class_milli = {{"default", 1000}, {"h100", 10'000}},
      .datacenter_milli = {{"*", 1000}}};
  return card;
}

std::vector<FieldError> check_rate_card(const RateCard& card) {
  std::vector<FieldError> problems;
  check_price(problems, "vcpu_hour", card.vcpu_hour_micros);
  check_price(problems, "memory_gib_hour", card.memory_gib_hour_micros);
  check_price(problems, "gpu_hour", card.gpu_hour_micros);
  check_price(problems, "storage_gib_month", card.storage_gib_month_micros);
  check_multipliers(problems, "sla_multipliers", card.sla_milli);
  check_multipliers(problems, "machine_class_multipliers", card.machine_class_milli);
  check_multipliers(problems, "datacenter_multipliers", card.datacenter_milli);
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<SlaClass>>(
      [&](auto sla) { require_name(problems, "sla_multipliers", card.sla_milli, sla.name); });
  SlaClass known{};
  for (const auto& [name, milli] : card.sla_milli)
    if (!boost::describe::enum_from_string(name.c_str(), known))
      problems.push_back(
          {.field = fmt::format("sla_multipliers.{}", name), .code = "unknown_field", .detail = "no such class"});
  require_name(problems, "machine_class_multipliers", card.machine_class_milli, kDefaultMachineClass);
  require_name(problems, "datacenter_multipliers", card.datacenter_milli, kAnyDatacenter);
  for (const auto& [name, milli] : card.datacenter_milli)
    if (name != kAnyDatacenter && !parse_datacenter(name))
      problems.push_back({.field = fmt::format("datacenter_multipliers.{}", name),
                          .code = "bad_format",
                          .detail = "`*` or cloud:zone"});
  return problems;
}

std::int64_t extra_disk_gib(std::string_view node_size, std::int64_t disk_gib) {
  const NodeSize* size = find_node_size(node_size);
  return std::max<std::int64_t>(0, disk_gib - (size != nullptr ? size->disk_gib : 0));
}

Result<UsdMicros> hourly_price(const RateCard& card, const PricedResources& resources, SlaClass sla) {
  if (!within(resources.vcpus, kMaxVcpus) || !within(resources.memory_mib, kMaxMemoryMib) ||
      !within(resources.gpu_count, kMaxGpus) || !within(resources.extra_disk_gib, kMaxExtraDiskGib))
    return fail(ErrorCode::rate_out_of_range, "resources out of bounds");
  if (!check_rate_card(card).empty()) return fail(ErrorCode::rate_out_of_range, "the rate card is damaged");
  const auto sla_milli = multiplier(card.sla_milli, boost::describe::enum_to_string(sla, ""));
  const auto class_milli = multiplier(card.machine_class_milli, resources.machine_class);
  const auto own_datacenter = multiplier(card.datacenter_milli, resources.datacenter);
  const auto any_datacenter = multiplier(card.datacenter_milli, std::string(kAnyDatacenter));
  if (!sla_milli || !class_milli || !any_datacenter)
    return fail(ErrorCode::rate_out_of_range, "the rate card does not know this machine class");
  const Wide hours =
      wide(resources.vcpus) * wide(card.vcpu_hour_micros) + wide(resources.gpu_count) * wide(card.gpu_hour_micros);
  const Wide compute = hours * kMibOfGib + wide(resources.memory_mib) * wide(card.memory_gib_hour_micros);
  const Wide storage = wide(resources.extra_disk_gib) * wide(card.storage_gib_month_micros) * kMibOfGib;
  const Wide factors = wide(*sla_milli) * wide(*class_milli) * wide(own_datacenter.value_or(*any_datacenter));
  const Wide numerator = (compute * kHoursOfMonth + storage) * factors;
  const Wide denominator = wide(kMibOfGib) * kHoursOfMonth * 1'000'000'000;
  const Wide rate = (2 * numerator + denominator) / (2 * denominator);
  if (rate > wide(kMaxRateMicros)) return fail(ErrorCode::rate_out_of_range, "the price is above the maximum");
  return UsdMicros{static_cast<std::int64_t>(rate)};
}

UtcTime hour_of(UtcTime time) { return std::chrono::floor<std::chrono::hours>(time); }

bool is_full_hour(UtcTime time) { return hour_of(time) == time; }

UtcTime month_of(UtcTime time) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
  return std::chrono::sys_days(day.year() / day.month() / 1);
}

std::optional<std::int64_t> parse_multiplier(std::string_view text) {
  const std::size_t point = text.find('.');
  if (text.starts_with('-') || (point != std::string_view::npos && text.size() - point > 4)) return std::nullopt;
  const auto amount = parse_usd(text);
  if (!amount || amount->value > kMaxMultiplierMilli * 1000) return std::nullopt;
  return amount->value / 1000;
}

std::string to_multiplier_text(std::int64_t milli) { return fmt::format("{}.{:03}", milli / 1000, milli % 1000); }

}  // namespace ee::cp
