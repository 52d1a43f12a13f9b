// What must hold for the policies whatever the facts are: random TDs against random policies.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "attestation/validate/policy.h"
#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

using policy_test::filled;
using policy_test::good_facts;
using policy_test::good_trust;
using policy_test::strict_policy;

constexpr std::array kStatuses = {TcbStatus::UpToDate,
                                  TcbStatus::SWHardeningNeeded,
                                  TcbStatus::ConfigurationNeeded,
                                  TcbStatus::ConfigurationAndSWHardeningNeeded,
                                  TcbStatus::TDRelaunchAdvised,
                                  TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
                                  TcbStatus::OutOfDate,
                                  TcbStatus::OutOfDateConfigurationNeeded,
                                  TcbStatus::Unknown,
                                  TcbStatus::Revoked};
constexpr std::array kModes = {Enforcement::strict, Enforcement::warn, Enforcement::disabled};

/// Mostly good, so that every check is reached often.
bool seldom() { return *rc::gen::inRange(0, 8) == 0; }

Facts some_facts() {
  Facts facts = good_facts();
  if (seldom()) facts.td_attributes = std::uint64_t{1} << *rc::gen::inRange(0, 64);
  facts.has_service_td = seldom();
  facts.emulated = seldom();
  if (seldom()) facts.mrtd = filled(*rc::gen::inRange<std::uint8_t>(0, 3));
  if (seldom()) facts.mrtd.reset();
  for (Measurement& rtmr : facts.rtmrs)
    if (seldom()) rtmr = filled(*rc::gen::inRange<std::uint8_t>(10, 14));
  if (seldom()) facts.node_size = "llm";
  facts.tcb_status = *rc::gen::elementOf(kStatuses);
  if (seldom()) facts.advisories = {"INTEL-SA-00001"};
  return facts;
}

PolicySnapshot some_policy() {
  PolicySnapshot policy = strict_policy();
  policy.tcb_mode = *rc::gen::elementOf(kModes);
  policy.rtmr_mode = *rc::gen::elementOf(kModes);
  if (*rc::gen::arbitrary<bool>()) policy.allowed_tcb_statuses = std::vector(kStatuses.begin(), kStatuses.begin() + 7);
  if (*rc::gen::arbitrary<bool>()) policy.denied_advisories = std::vector<std::string>{"INTEL-SA-00001"};
  policy.require_sept_ve_disable = *rc::gen::arbitrary<bool>();
  policy.allow_migratable = *rc::gen::arbitrary<bool>();
  policy.allow_service_td = *rc::gen::arbitrary<bool>();
  policy.emulation_allowed = *rc::gen::arbitrary<bool>();
  return policy;
}

bool accepted(const Facts& facts, const PolicySnapshot& policy) {
  const Decision decision = evaluate_policy(facts, policy, good_trust());
  // Never an acceptance with a reason, nor a refusal without one.
  RC_ASSERT((decision.decision == DecisionClass::accepted) == !decision.reason.has_value());
  return !decision.reason;
}

RC_GTEST_PROP(PolicyProperties, NoModeAcceptsWhatIsNeverAcceptable, ()) {
  const Facts facts = some_facts();
  const bool hopeless =
      (facts.td_attributes & 0xff) != 0 || facts.tcb_status == TcbStatus::Revoked || facts.mrtd != filled(1);
  RC_CLASSIFY(hopeless);
  if (hopeless) RC_ASSERT_FALSE(accepted(facts, some_policy()));
}

RC_GTEST_PROP(PolicyProperties, ALooserModeAcceptsWhatAStricterOneDoes, ()) {
  const Facts facts = some_facts();
  PolicySnapshot policy = some_policy();
  bool before = false;
  for (const Enforcement mode : kModes) {  // from strict to disabled
    policy.tcb_mode = mode;
    policy.rtmr_mode = mode;
    const bool now = accepted(facts, policy);
    RC_ASSERT(now || !before);
    before = now;
  }
}

RC_GTEST_PROP(PolicyProperties, StrictAcceptsWithoutAPolicysWarning, ()) {
  PolicySnapshot policy = some_policy();
  policy.tcb_mode = Enforcement::strict;
  policy.rtmr_mode = Enforcement::strict;
  const Decision decision = evaluate_policy(some_facts(), policy, good_trust());
  if (decision.reason) return;
  RC_ASSERT(std::ranges::all_of(decision.warnings, [](Warning w) { return w == Warning::emulated_quote; }));
  RC_ASSERT(decision.rtmr_profile.has_value() && decision.trusted_mrtd.has_value());
}

}  // namespace
}  // namespace ee::attestation
