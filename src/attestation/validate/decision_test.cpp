#include <gtest/gtest.h>

#include "attestation/validate/policy.h"
#include "tests/support/emulator.h"
#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

using policy_test::filled;
using policy_test::good_facts;
using policy_test::good_trust;
using policy_test::kNow;
using policy_test::reason_of;
using policy_test::strict_policy;
using policy_test::texts_of;

constexpr std::uint64_t bit(int number) { return std::uint64_t{1} << number; }

TEST(EvaluatePolicy, AcceptsTheGoodCaseAndSaysWhatVouchedForIt) {
  const Decision decision = evaluate_policy(good_facts(), strict_policy(), good_trust());
  EXPECT_EQ(decision.decision, DecisionClass::accepted);
  EXPECT_FALSE(decision.reason);
  EXPECT_TRUE(decision.warnings.empty());
  EXPECT_EQ(decision.trusted_mrtd->version, 3);
  EXPECT_EQ(decision.rtmr_profile->id, "profile-1");
  EXPECT_FALSE(decision.rtmr_mismatch);
}

// By descending precedence: each row takes one more fault away, and the last one is accepted.
TEST(EvaluatePolicy, NamesTheFirstFaultInTheOrderOfThePipeline) {
  Facts facts = good_facts();
  TrustStore trust = good_trust();
  facts.emulated = true;
  facts.td_attributes = bit(0) | bit(29);
  facts.mrtd.reset();
  facts.tcb_status = TcbStatus::Revoked;
  facts.rtmrs = {};
  const PolicySnapshot policy = strict_policy();
  const auto reason = [&] {
    const Decision decision = evaluate_policy(facts, policy, trust);
    EXPECT_EQ(decision.decision, decision.reason ? DecisionClass::refused : DecisionClass::accepted);
    return reason_of(decision.reason);
  };

  EXPECT_EQ(reason(), "quote_emulated_refused");
  facts.emulated = false;
  EXPECT_EQ(reason(), "td_debug_enabled");
  facts.td_attributes = bit(29);
  EXPECT_EQ(reason(), "td_attributes_refused");
  facts.td_attributes = bit(28);
  EXPECT_EQ(reason(), "mrtd_missing");
  facts.mrtd = filled(77);
  EXPECT_EQ(reason(), "mrtd_untrusted");
  facts.mrtd = filled(1);
  EXPECT_EQ(reason(), "tcb_revoked");
  facts.tcb_status = TcbStatus::OutOfDate;
  EXPECT_EQ(reason(), "tcb_not_acceptable");
  facts.tcb_status = TcbStatus::UpToDate;
  EXPECT_EQ(reason(), "rtmr_mismatch");
  facts.rtmrs = good_facts().rtmrs;
  EXPECT_EQ(reason(), "ok");
}

TEST(EvaluatePolicy, GathersTheWarningsOfAnAcceptance) {
  Facts facts = good_facts();
  facts.emulated = true;
  facts.tcb_status = TcbStatus::OutOfDate;
  facts.rtmrs[1] = filled(99);
  facts.jwks_stale = true;
  facts.collateral_next_update = kNow + std::chrono::hours(24) - Milliseconds(1);
  PolicySnapshot policy = strict_policy();
  policy.emulation_allowed = true;
  policy.tcb_mode = Enforcement::warn;
  policy.rtmr_mode = Enforcement::warn;

  const Decision decision = evaluate_policy(facts, policy, good_trust());
  EXPECT_EQ(decision.decision, DecisionClass::accepted);
  EXPECT_EQ(texts_of(decision.warnings),
            "tcb_not_acceptable,rtmr_mismatch,jwks_stale,emulated_quote,collateral_expires_soon");
  EXPECT_EQ(decision.rtmr_mismatch->registers, std::vector<int>{1});
  facts.collateral_next_update = kNow + std::chrono::hours(24);
  EXPECT_EQ(texts_of(evaluate_policy(facts, policy, good_trust()).warnings),
            "tcb_not_acceptable,rtmr_mismatch,jwks_stale,emulated_quote");
}

TEST(FactsOf, TakesEverythingFromTheQuote) {
  EmulatedQuoteSpec spec{.form = QuoteForm::v5_td_1_5, .td_attributes = 0x1234};
  spec.mrservicetd[20] = 1;
  const auto quote = parse_quote(testing::emulated_quote(spec), TrailingPolicy::zeros);
  const Facts facts = facts_of(*quote, kNow, MrtdKind::control_plane, "llm");
  EXPECT_EQ(facts.mrtd, spec.measurements.mrtd);
  EXPECT_EQ(facts.rtmrs, spec.measurements.rtmrs);
  EXPECT_EQ(facts.td_attributes.get(), 0x1234U);
  EXPECT_TRUE(facts.has_service_td);
  EXPECT_TRUE(facts.emulated);
  EXPECT_EQ(facts.node_size, "llm");
  EXPECT_EQ(facts.wanted_kind.get(), MrtdKind::control_plane);
  EXPECT_EQ(facts.tcb_status.get(), TcbStatus::Unknown) << "no verdict, no status";

  const auto v4 = parse_quote(testing::emulated_quote(), TrailingPolicy::zeros);
  EXPECT_FALSE(facts_of(*v4, kNow, MrtdKind::agent, "").has_service_td);
}

// covers: S01_POL_004
TEST(CombineVerdicts, BothMustSucceedAndTheWorseStatusCounts) {
  const auto good = [](TcbStatus status, std::vector<std::string> advisories) {
    return Result<VerifierVerdict>(VerifierVerdict{.status = status, .advisories = std::move(advisories)});
  };
  const Result<VerifierVerdict> token_failed = fail(ErrorCode::ita_token_expired);
  const Result<VerifierVerdict> native_failed = fail(ErrorCode::pck_revoked);
  const auto reason = [](const CombinedVerdict& combined) {
    return std::string(combined.verdict ? "ok" : slug(combined.verdict.error().code)) + "/" +
           (combined.other_reason ? std::string(slug(*combined.other_reason)) : "");
  };
  const auto up = good(TcbStatus::UpToDate, {"INTEL-SA-00002", "INTEL-SA-00001"});
  const auto out = good(TcbStatus::OutOfDate, {"INTEL-SA-00003", "INTEL-SA-00001"});

  for (const auto& [ita, dcap] : {std::pair{up, out}, std::pair{out, up}}) {
    const auto both = combine_verdicts(VerifierMode::both, ita, dcap);
    ASSERT_TRUE(both.verdict);
    EXPECT_EQ(both.verdict->status, TcbStatus::OutOfDate);
    EXPECT_EQ(both.verdict->advisories,
              (std::vector<std::string>{"INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00003"}));
  }
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::both, token_failed, up)), "ita_token_expired/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::both, up, native_failed)), "pck_revoked/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::both, token_failed, native_failed)), "ita_token_expired/pck_revoked");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::both, up, std::nullopt)), "internal_verification_error/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::both, std::nullopt, up)), "internal_verification_error/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::ita, up, native_failed)), "ok/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::ita, std::nullopt, up)), "internal_verification_error/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::dcap, token_failed, up)), "ok/");
  EXPECT_EQ(reason(combine_verdicts(VerifierMode::dcap, up, native_failed)), "pck_revoked/");
}

// The part of RAT-002 that is the table: what a refresh does with it is tested with refreshes.
TEST(DecisionClasses, FollowTheTableForEverySlug) {
  EXPECT_EQ(decision_class(ErrorCode::mrtd_untrusted), DecisionClass::refused);
  EXPECT_EQ(decision_class(ErrorCode::report_data_mismatch), DecisionClass::refused);
  EXPECT_EQ(decision_class(ErrorCode::measurement_changed), DecisionClass::refused);
  EXPECT_EQ(decision_class(ErrorCode::pop_signature_invalid), DecisionClass::retry);
  EXPECT_EQ(decision_class(ErrorCode::nonce_replayed), DecisionClass::retry);
  EXPECT_EQ(decision_class(ErrorCode::policy_changed_retry), DecisionClass::retry);
  EXPECT_EQ(decision_class(ErrorCode::rate_limited), DecisionClass::retry);
  EXPECT_EQ(decision_class(ErrorCode::invalid_bootstrap_token), DecisionClass::retry);
  EXPECT_EQ(decision_class(ErrorCode::collateral_expired), DecisionClass::unavailable);
  EXPECT_EQ(decision_class(ErrorCode::internal_verification_error), DecisionClass::unavailable);
  for (const ErrorInfo& info : error_table()) {
    if (info.area != "attestation") continue;
    DecisionClass expected = DecisionClass::retry;
    if (info.http_status >= 500 || info.http_status == 0) expected = DecisionClass::unavailable;
    if (info.http_status == 403 && !info.slug.starts_with("nonce_")) expected = DecisionClass::refused;
    if (is_undecided_refusal(info.code)) expected = DecisionClass::unavailable;
    EXPECT_EQ(decision_class(info.code), expected) << info.slug;
  }
}

}  // namespace
}  // namespace ee::attestation
