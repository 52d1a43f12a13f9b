#include "cp/domain/price.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <boost/multiprecision/cpp_int.hpp>

#include "common/node_size.h"

namespace ee::cp {
namespace {

using boost::multiprecision::cpp_int;
using boost::multiprecision::cpp_rational;

PricedResources size(std::string_view name, std::int64_t extra_disk = 0) {
  const NodeSize* found = find_node_size(name);
  return {
      .vcpus = found->vcpus, .memory_mib = found->memory_mib(), .extra_disk_gib = extra_disk, .datacenter = "gcp:a"};
}
std::int64_t price(const PricedResources& resources, SlaClass sla = SlaClass::adhoc) {
  return hourly_price(first_rate_card(), resources, sla).value().value;
}

// covers: S04_BILL_RATE_001
TEST(Price, S04_BILL_RATE_001_IsTheTableOfExamples) {
  EXPECT_EQ(price(size("tiny")), 180000);
  EXPECT_EQ(price(size("standard")), 720000);
  EXPECT_EQ(price(size("llm")), 400000);
  EXPECT_EQ(extra_disk_gib("llm", 180), 100);
  EXPECT_EQ(extra_disk_gib("llm", 40), 0);
  EXPECT_EQ(price(size("llm", 100)), 413699);
  EXPECT_EQ(price({.vcpus = 2, .memory_mib = 4096, .datacenter = "gcp:a"}), 100000);
  EXPECT_EQ(price({.vcpus = 4, .memory_mib = 8192, .datacenter = "gcp:a"}, SlaClass::three_nines), 300000);
}

// covers: S04_BILL_RATE_002
TEST(Price, S04_BILL_RATE_002_MultipliesClassAndSla) {
  const PricedResources h100{
      .vcpus = 8, .memory_mib = 32768, .gpu_count = 1, .machine_class = "h100", .datacenter = "gcp:a"};
  EXPECT_EQ(price(h100, SlaClass::five_nines), 29'400'000);
  EXPECT_EQ(price(h100, SlaClass::four_nines), 19'600'000);
  RateCard card = first_rate_card();
  card.datacenter_milli["gcp:a"] = 1250;
  EXPECT_EQ(hourly_price(card, h100, SlaClass::adhoc).value().value, 12'250'000);
  PricedResources elsewhere = h100;
  elsewhere.datacenter = "gcp:b";
  EXPECT_EQ(hourly_price(card, elsewhere, SlaClass::adhoc).value().value, 9'800'000);
}

// covers: S04_BILL_RATE_003
TEST(Price, S04_BILL_RATE_003_RefusesWhatIsOutOfBounds) {
  const auto refused = [](const PricedResources& resources, const RateCard& card = first_rate_card()) {
    const auto rate = hourly_price(card, resources, SlaClass::five_nines);
    return !rate && rate.error().code == ErrorCode::rate_out_of_range;
  };
  EXPECT_FALSE(refused({.vcpus = 1024, .memory_mib = 16'777'216, .gpu_count = 64, .extra_disk_gib = 65536}));
  EXPECT_TRUE(refused({.vcpus = 1025}));
  EXPECT_TRUE(refused({.vcpus = -1}));
  EXPECT_TRUE(refused({.memory_mib = 16'777'217}));
  EXPECT_TRUE(refused({.gpu_count = 65}));
  EXPECT_TRUE(refused({.extra_disk_gib = 65537}));
  EXPECT_TRUE(refused({.vcpus = 1, .machine_class = "unknown"}));
  RateCard dear = first_rate_card();
  dear.vcpu_hour_micros = kMaxPriceMicros;
  dear.machine_class_milli["default"] = kMaxMultiplierMilli;
  EXPECT_FALSE(refused({.vcpus = 0}, dear));
  EXPECT_TRUE(refused({.vcpus = 1}, dear)) << "300,000 dollars an hour";
  dear.machine_class_milli["default"] = 33'333;
  EXPECT_EQ(hourly_price(dear, {.vcpus = 1}, SlaClass::five_nines).value().value, 99'999'000'000);
}

// covers: S04_BILL_RATE_004
TEST(Price, S04_BILL_RATE_004_ChecksARateCard) {
  EXPECT_TRUE(check_rate_card(first_rate_card()).empty());
  struct Case {
    std::string field;
    std::function<void(RateCard&)> spoil;
  };
  const std::vector<Case> cases = {
      {"rates.vcpu_hour", [](RateCard& c) { c.vcpu_hour_micros = -1; }},
      {"rates.memory_gib_hour", [](RateCard& c) { c.memory_gib_hour_micros = kMaxPriceMicros + 1; }},
      {"rates.gpu_hour", [](RateCard& c) { c.gpu_hour_micros = -1; }},
      {"rates.storage_gib_month", [](RateCard& c) { c.storage_gib_month_micros = -1; }},
      {"sla_multipliers.adhoc", [](RateCard& c) { c.sla_milli.erase("adhoc"); }},
      {"sla_multipliers.six_nines", [](RateCard& c) { c.sla_milli["six_nines"] = 4000; }},
      {"sla_multipliers.adhoc", [](RateCard& c) { c.sla_milli["adhoc"] = kMaxMultiplierMilli + 1; }},
      {"machine_class_multipliers.default", [](RateCard& c) { c.machine_class_milli.erase("default"); }},
      {"datacenter_multipliers.*", [](RateCard& c) { c.datacenter_milli.clear(); }},
      {"datacenter_multipliers.mars", [](RateCard& c) { c.datacenter_milli["mars"] = 1000; }},
      {"machine_class_multipliers.h100", [](RateCard& c) { c.machine_class_milli["h100"] = -1; }}};
  for (const Case& bad : cases) {
    RateCard card = first_rate_card();
    bad.spoil(card);
    const auto problems = check_rate_card(card);
    ASSERT_EQ(problems.size(), 1U) << bad.field;
    EXPECT_EQ(problems[0].field, bad.field);
    EXPECT_FALSE(hourly_price(card, size("tiny"), SlaClass::adhoc)) << bad.field << ": nothing is priced by it";
  }
}

RateCard some_card() {
  RateCard card = first_rate_card();
  const auto some_price = [] { return *rc::gen::inRange<std::int64_t>(0, kMaxPriceMicros + 1); };
  const auto some_milli = [] { return *rc::gen::inRange<std::int64_t>(0, 5000); };
  card.vcpu_hour_micros = some_price() / 10'000;
  card.memory_gib_hour_micros = some_price() / 10'000;
  card.gpu_hour_micros = some_price() / 1000;
  card.storage_gib_month_micros = some_price();
  card.sla_milli["adhoc"] = some_milli();
  card.machine_class_milli["default"] = some_milli();
  card.datacenter_milli["*"] = some_milli();
  return card;
}
PricedResources some_resources() {
  return {.vcpus = *rc::gen::inRange<std::int64_t>(0, 1025),
          .memory_mib = *rc::gen::inRange<std::int64_t>(0, 16'777'217),
          .gpu_count = *rc::gen::inRange<std::int64_t>(0, 65),
          .extra_disk_gib = *rc::gen::inRange<std::int64_t>(0, 65'537)};
}

/// The formula as it is thought of: dollars per hour as a fraction, rounded once at the end, half up.
cpp_int by_rational(const RateCard& card, const PricedResources& resources) {
  cpp_rational sum = cpp_rational(card.vcpu_hour_micros) * resources.vcpus;
  sum += cpp_rational(card.gpu_hour_micros) * resources.gpu_count;
  sum += cpp_rational(card.memory_gib_hour_micros) * resources.memory_mib / 1024;
  sum += cpp_rational(card.storage_gib_month_micros) * resources.extra_disk_gib / 730;
  sum *= cpp_rational(card.sla_milli.at("adhoc")) / 1000;
  sum *= cpp_rational(card.machine_class_milli.at("default")) / 1000;
  sum *= cpp_rational(card.datacenter_milli.at("*")) / 1000;
  sum += cpp_rational(1, 2);
  return numerator(sum) / denominator(sum);
}

// covers: S04_BILL_RATE_005
RC_GTEST_PROP(Price, S04_BILL_RATE_005_IsWhatRationalArithmeticSays, ()) {
  const RateCard card = some_card();
  const PricedResources resources = some_resources();
  const cpp_int exact = by_rational(card, resources);
  const auto rate = hourly_price(card, resources, SlaClass::adhoc);
  RC_CLASSIFY(!rate, "above the maximum");
  if (exact > kMaxRateMicros) {
    RC_ASSERT(!rate && rate.error().code == ErrorCode::rate_out_of_range);
  } else {
    RC_ASSERT(rate.has_value());
    RC_ASSERT(cpp_int(rate->value) == exact);
  }
}

// covers: S04_BILL_RATE_006
RC_GTEST_PROP(Price, S04_BILL_RATE_006_NeverFallsWhenAnInputRises, ()) {
  const RateCard card = some_card();
  const PricedResources less = some_resources();
  PricedResources more = less;
  RateCard dearer = card;
  const auto raise = [](std::int64_t& value, std::int64_t max) { value = *rc::gen::inRange(value, max + 1); };
  switch (*rc::gen::inRange(0, 11)) {
    case 0: raise(more.vcpus, 1024); break;
    case 1: raise(more.memory_mib, 16'777'216); break;
    case 2: raise(more.gpu_count, 64); break;
    case 3: raise(more.extra_disk_gib, 65'536); break;
    case 4: raise(dearer.vcpu_hour_micros, kMaxPriceMicros); break;
    case 5: raise(dearer.memory_gib_hour_micros, kMaxPriceMicros); break;
    case 6: raise(dearer.gpu_hour_micros, kMaxPriceMicros); break;
    case 7: raise(dearer.storage_gib_month_micros, kMaxPriceMicros); break;
    case 8: raise(dearer.sla_milli["adhoc"], kMaxMultiplierMilli); break;
    case 9: raise(dearer.machine_class_milli["default"], kMaxMultiplierMilli); break;
    default: raise(dearer.datacenter_milli["*"], kMaxMultiplierMilli); break;
  }
  const auto before = hourly_price(card, less, SlaClass::adhoc);
  const auto after = hourly_price(dearer, more, SlaClass::adhoc);
  if (before && after) RC_ASSERT(after->value >= before->value);
  if (!before) RC_ASSERT(!after);
}

TEST(Price, ReadsAndWritesMultipliers) {
  EXPECT_EQ(parse_multiplier("1.000"), 1000);
  EXPECT_EQ(parse_multiplier("1"), 1000);
  EXPECT_EQ(parse_multiplier("0.5"), 500);
  EXPECT_EQ(parse_multiplier("100"), kMaxMultiplierMilli);
  for (const char* bad : {"", "-1", "1.0000", "1.", "100.001", "1e3", "a", "-0"})
    EXPECT_FALSE(parse_multiplier(bad)) << bad;
  EXPECT_EQ(to_multiplier_text(1500), "1.500");
  EXPECT_EQ(to_multiplier_text(7), "0.007");
}

TEST(Price, FindsHoursAndMonths) {
  const auto time = [](std::string_view text) { return parse_rfc3339(text).value(); };
  EXPECT_EQ(hour_of(time("2026-03-31T23:59:59.999Z")), time("2026-03-31T23:00:00Z"));
  EXPECT_EQ(month_of(time("2026-03-31T23:59:59.999Z")), time("2026-03-01T00:00:00Z"));
  EXPECT_TRUE(is_full_hour(time("2026-03-31T23:00:00Z")));
  EXPECT_FALSE(is_full_hour(time("2026-03-31T23:00:00.001Z")));
}

}  // namespace
}  // namespace ee::cp
