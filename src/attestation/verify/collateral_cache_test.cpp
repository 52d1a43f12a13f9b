#include "attestation/verify/collateral_cache.h"

#include <atomic>
#include <thread>

#include "attestation/verify/collateral_cache_fixture.h"
#include "attestation/verify/dcap_verifier.h"

namespace ee::attestation {
namespace {

using cache_test::Cache;
using cache_test::kFmspc;
using cache_test::kIssued;
using cache_test::kNow;
using std::chrono::days;
using std::chrono::hours;

// covers: S01_DCAP_014
TEST_F(Cache, FetchesOnceAndAnswersWhatTheVerifierAccepts) {
  const auto cache = replica();
  const auto collateral = cache->get(kFmspc, CaKind::platform, kNow, {});
  ASSERT_TRUE(collateral) << slug(collateral.error().code);
  EXPECT_EQ(publisher_.fetched,
            (std::vector<std::string>{"rootcrl", "pckcrl:platform", "tcb:ee0000000001:standard", "qe:standard"}));
  const auto result = DcapVerifier().verify(publisher_.content.quote(), *collateral, {.allow_emulator = true}, kNow);
  ASSERT_TRUE(result) << slug(result.error().code);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(*cache, kNow + hours(i)), "ok");
  EXPECT_EQ(publisher_.count(), 4U);
  EXPECT_EQ(reports_, (std::vector<std::string>{"root_crl", "pck_crl", "tcb_info", "qe_identity"}));
  // The same pieces, so that the verifier recognises them.
  EXPECT_EQ(cache->get(kFmspc, CaKind::platform, kNow, {})->tcb_info, collateral->tcb_info);
}

// covers: S01_DCAP_014
TEST_F(Cache, KeepsRowsAsTheTableWantsThem) {
  ASSERT_EQ(ask(*replica(), kNow), "ok");
  ASSERT_EQ(store_.rows.size(), 4U);
  const CollateralRow& info = store_.rows.at("tcb:ee0000000001:standard");
  EXPECT_TRUE(info.body.starts_with("{\"tcbInfo\":{\"id\":\"TDX\",\"version\":3,")) << info.body;
  EXPECT_EQ(info.issue_at, kIssued);
  EXPECT_EQ(info.next_update_at, kIssued + days(30));
  EXPECT_EQ(info.fetched_at, kNow);
  EXPECT_EQ(info.eval_number, 1);
  EXPECT_TRUE(info.issuer_chain.starts_with("-----BEGIN CERTIFICATE-----"));
  const CollateralRow& root = store_.rows.at("rootcrl");
  EXPECT_TRUE(from_base64(root.body));
  EXPECT_TRUE(root.issuer_chain.empty());
  EXPECT_EQ(root.eval_number, 0);
}

// covers: S01_DCAP_014
TEST_F(Cache, RefreshesInTheBackgroundWhileItStillCounts) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime stale = kNow + policy_.refresh;
  EXPECT_EQ(ask(*cache, stale - Milliseconds(1)), "ok");
  EXPECT_EQ(wakes_, 0);
  publisher_.hold();  // nobody may wait for the publisher now
  EXPECT_EQ(ask(*cache, stale), "ok");
  EXPECT_EQ(wakes_, 4) << "once for each piece";
  EXPECT_EQ(ask(*cache, stale + Seconds(1)), "ok");
  EXPECT_EQ(wakes_, 4) << "and not at every call";
  EXPECT_EQ(publisher_.count(), 4U);
  publisher_.release();
  publish(stale - Seconds(1), 2);
  const auto report = cache->refresh_due(stale + Seconds(2), 32, {});
  EXPECT_EQ(report.refreshed, 4);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(publisher_.count(), 8U);
  EXPECT_EQ(store_.rows.at("qe:standard").eval_number, 2);
  EXPECT_EQ(ask(*cache, stale + Seconds(3)), "ok");
  EXPECT_EQ(wakes_, 4);
  EXPECT_EQ(cache->refresh_due(stale + Seconds(3), 32, {}).refreshed, 0);
}

TEST_F(Cache, RefreshesAnHourBeforeTheEndWhateverThePeriod) {
  policy_.refresh = Seconds(days(90));
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime end = kIssued + days(30);
  EXPECT_EQ(ask(*cache, end - hours(1) - Milliseconds(1)), "ok");
  EXPECT_EQ(wakes_, 0);
  EXPECT_EQ(ask(*cache, end - hours(1)), "ok");
  EXPECT_EQ(wakes_, 4);
}

TEST_F(Cache, RefreshesAtMostTheBatchAndStopsWhenTold) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime stale = kNow + policy_.refresh;
  publish(stale - Seconds(1));
  EXPECT_EQ(cache->refresh_due(stale, 3, {}).refreshed, 3);
  EXPECT_EQ(cache->refresh_due(stale, 3, {}).refreshed, 1);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache->refresh_due(stale + policy_.refresh, 3, stop.get_token()).refreshed, 0);
}

TEST_F(Cache, RefreshesOnlyWhatWasUsedWithinAWeek) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  publish(kNow + days(6));
  EXPECT_EQ(cache->refresh_due(kNow + days(7) + Milliseconds(1), 32, {}).refreshed, 0);
  EXPECT_EQ(cache->refresh_due(kNow + days(7), 32, {}).refreshed, 4);
  EXPECT_EQ(cache->refresh_due(kNow + days(8), 32, {}).refreshed, 0) << "refreshing is no use";
}

TEST_F(Cache, TriesAFailedRefreshAgainAfterAMinute) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime stale = kNow + policy_.refresh;
  publisher_.failure = ErrorCode::collateral_unavailable;
  EXPECT_EQ(cache->refresh_due(stale, 32, {}).failed, 4);
  EXPECT_EQ(cache->refresh_due(stale + Seconds(59), 32, {}).failed, 0);
  EXPECT_EQ(ask(*cache, stale + Seconds(59)), "ok") << "it counts to its end";
  EXPECT_EQ(cache->states().front().last_error, ErrorCode::collateral_unavailable);
  publisher_.failure.reset();
  publish(stale);
  EXPECT_EQ(cache->refresh_due(stale + Seconds(60), 32, {}).refreshed, 4);
  EXPECT_EQ(cache->states().front().last_error, std::nullopt);
}

// covers: S01_DCAP_014
TEST_F(Cache, GivesNoGraceAfterTheEnd) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime end = kIssued + days(30);
  publisher_.failure = ErrorCode::collateral_unavailable;
  EXPECT_EQ(ask(*cache, end - Milliseconds(1)), "ok");
  EXPECT_EQ(ask(*cache, end), "collateral_expired");
  publisher_.failure.reset();
  EXPECT_EQ(ask(*cache, end + Seconds(6)), "collateral_expired") << "what is published is over as well";
  publish(end);
  EXPECT_EQ(ask(*cache, end + Seconds(12)), "ok") << "a blocking fetch";
}

TEST_F(Cache, TellsExpiredFromUnavailableAfterARestart) {
  ASSERT_EQ(ask(*replica(), kNow), "ok");
  publisher_.failure = ErrorCode::collateral_unavailable;
  EXPECT_EQ(ask(*replica(), kIssued + days(30)), "collateral_expired");
  store_.rows.clear();
  EXPECT_EQ(ask(*replica(), kNow), "collateral_unavailable");
}

// covers: S01_DCAP_014
// covers: S01_DCAP_014
// covers: S01_DCAP_014
// covers: S01_DCAP_014
TEST_F(Cache, RemembersAFailureForFiveSeconds) {
  const auto cache = replica();
  publisher_.failure = ErrorCode::collateral_unavailable;
  EXPECT_EQ(ask(*cache, kNow), "collateral_unavailable");
  EXPECT_EQ(ask(*cache, kNow + Milliseconds(4999)), "collateral_unavailable");
  EXPECT_EQ(publisher_.count(), 1U);
  EXPECT_EQ(ask(*cache, kNow + Seconds(5)), "collateral_unavailable");
  EXPECT_EQ(publisher_.count(), 2U);
  publisher_.failure.reset();
  EXPECT_EQ(ask(*cache, kNow + Seconds(10)), "ok");
}

TEST_F(Cache, FailsClosedWithoutTheTable) {
  const auto cache = replica();
  store_.failure = ErrorCode::database_unavailable;
  EXPECT_EQ(ask(*cache, kNow), "database_unavailable");
  EXPECT_EQ(publisher_.count(), 0U);
  store_.failure.reset();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  store_.failure = ErrorCode::database_unavailable;
  EXPECT_EQ(ask(*cache, kNow + policy_.refresh), "ok") << "what is in memory counts to its end";
}

// covers: S01_DCAP_014
TEST_F(Cache, FetchesOnceForManyCallers) {
  const auto cache = replica();
  publisher_.hold();
  std::atomic<int> good = 0;
  std::vector<std::jthread> callers;
  callers.reserve(6);
  for (int i = 0; i < 6; ++i)
    callers.emplace_back([&] { good += cache->get(kFmspc, CaKind::platform, kNow, {}).has_value() ? 1 : 0; });
  publisher_.wait_for_fetches(1);
  publisher_.release();
  callers.clear();
  EXPECT_EQ(good, 6);
  EXPECT_EQ(publisher_.count(), 4U);
}

TEST_F(Cache, LetsACallerGiveUpWithoutHarmingTheOthers) {
  const auto cache = replica();
  publisher_.hold();
  std::jthread first([&] { EXPECT_EQ(ask(*cache, kNow), "ok"); });
  publisher_.wait_for_fetches(1);
  std::stop_source stop;
  std::jthread second([&] {
    const auto collateral = cache->get(kFmspc, CaKind::platform, kNow, stop.get_token());
    EXPECT_EQ(collateral.error().code, ErrorCode::collateral_unavailable);
  });
  stop.request_stop();
  second.join();
  publisher_.release();
  first.join();
  EXPECT_EQ(ask(*cache, kNow), "ok");
}

TEST_F(Cache, HoldsAtMost256Pieces) {
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  publisher_.failure = ErrorCode::fmspc_unknown;
  for (int i = 0; i < 300; ++i) {
    const std::string fmspc =
        to_hex(ByteArray<6>{1, 2, 3, 4, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)});
    EXPECT_EQ(ask(*cache, kNow, fmspc), "fmspc_unknown");
  }
  EXPECT_LE(cache->states().size(), 256U);
  EXPECT_EQ(cache->states().size(), 2U) << "the lists, which every call used";
}

// covers: S01_DCAP_014
}  // namespace
}  // namespace ee::attestation
