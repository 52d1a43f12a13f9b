#include "attestation/verify/collateral_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <thread>

#include "attestation/verify/dcap_verifier.h"
#include "tests/support/emulated_evidence.h"
#include "tests/support/fake_collateral_store.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

using std::chrono::days;
using std::chrono::hours;
using testing::EmulatedEvidence;
using testing::FakeCollateralStore;

const UtcTime kIssued = FakeClock().now();
const UtcTime kNow = kIssued + Seconds(10);
constexpr const char* kFmspc = "ee0000000001";

/// A publisher whose answers are set by the test. Thread-safe.
class FakePublisher final : public CollateralFetcher {
 public:
  Result<CollateralItem> fetch(const CollateralKey& key, std::stop_token) override {
    std::unique_lock lock(mutex_);
    fetched.push_back(key.text());
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held; });
    if (failure) return fail(*failure);
    const Collateral all = content.collateral();
    switch (key.kind) {
      case CollateralKind::root_crl: return *all.root_crl;
      case CollateralKind::pck_crl: return *all.pck_crl;
      case CollateralKind::tcb_info: return *all.tcb_info;
      case CollateralKind::qe_identity: return *all.qe_identity;
    }
    return fail(ErrorCode::internal_error);
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    held = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held = false;
    changed_.notify_all();
  }
  void wait_for_fetches(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return fetched.size() >= count; });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return fetched.size();
  }

  EmulatedEvidence content;
  std::optional<ErrorCode> failure;
  std::vector<std::string> fetched;
  bool held = false;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class Cache : public ::testing::Test {
 protected:
  std::unique_ptr<CollateralCache> replica() {
    return std::make_unique<CollateralCache>(
        CollateralCache::Parts{.fetcher = publisher_,
                               .store = store_,
                               .policy = [this] { return policy_; },
                               .wake_refresh = [this] { ++wakes_; },
                               .observe =
                                   [this](const CollateralFetchReport& report) {
                                     reports_.push_back(std::string(to_string(report.kind)) +
                                                        (report.code ? " " + std::string(slug(*report.code)) : ""));
                                   },
                               .anchor = emulator_anchor()});
  }
  static std::string ask(CollateralCache& cache, UtcTime now, const std::string& fmspc = kFmspc,
                         CaKind ca = CaKind::platform) {
    const auto collateral = cache.get(fmspc, ca, now, {});
    return collateral ? "ok" : std::string(slug(collateral.error().code));
  }
  /// What the publisher has from now on.
  void publish(UtcTime issued_at, std::uint32_t evaluation_number = 1) {
    publisher_.content.options.issued_at = issued_at;
    publisher_.content.options.tcb_evaluation_data_number = evaluation_number;
  }

  FakePublisher publisher_;
  FakeCollateralStore store_;
  CollateralPolicy policy_;
  int wakes_ = 0;
  std::vector<std::string> reports_;
};

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
TEST_F(Cache, RefusesARollBack) {
  const auto cache = replica();
  publish(kIssued, 5);
  ASSERT_EQ(ask(*cache, kNow), "ok");
  const UtcTime stale = kNow + policy_.refresh;
  publish(stale - Seconds(1), 4);
  EXPECT_EQ(cache->refresh_due(stale, 32, {}).failed, 2) << "both documents; the lists have no number and are newer";
  publish(kIssued - Seconds(1), 6);
  const UtcTime later = stale + Seconds(60) + policy_.refresh;
  EXPECT_EQ(cache->refresh_due(later, 32, {}).failed, 4) << "issued earlier than what is stored";
  EXPECT_EQ(store_.rows.at("qe:standard").eval_number, 5);
  EXPECT_EQ(ask(*cache, later), "ok");
  // Also by a replica that has just started and knows the table only.
  store_.rows.at("tcb:ee0000000001:standard").body = "{}";
  EXPECT_EQ(ask(*replica(), kNow + hours(1)), "collateral_rollback");
  publish(stale, 5);
  EXPECT_EQ(cache->refresh_due(later + Seconds(60), 32, {}).refreshed, 4);
}

// covers: S01_DCAP_014
TEST_F(Cache, MayGoBackFromEarlyToStandardOnly) {
  policy_.update = TcbUpdate::early;
  publish(kIssued, 9);
  const auto cache = replica();
  ASSERT_EQ(ask(*cache, kNow), "ok");
  policy_.update = TcbUpdate::standard;
  publish(kIssued, 8);
  EXPECT_EQ(ask(*cache, kNow), "ok");
  EXPECT_EQ(store_.rows.at("qe:early").eval_number, 9);
  EXPECT_EQ(store_.rows.at("qe:standard").eval_number, 8);
  store_.rows.erase("qe:early");
  store_.rows.erase("tcb:ee0000000001:early");
  policy_.update = TcbUpdate::early;
  publish(kIssued, 7);
  EXPECT_EQ(ask(*replica(), kNow), "collateral_rollback") << "early must not be behind standard";
}

// covers: S01_DCAP_014
TEST_F(Cache, UsesTheTableAfterARestart) {
  ASSERT_EQ(ask(*replica(), kNow), "ok");
  publisher_.failure = ErrorCode::collateral_unavailable;
  const auto restarted = replica();
  EXPECT_EQ(ask(*restarted, kNow + hours(1)), "ok");
  EXPECT_EQ(publisher_.count(), 4U);
  EXPECT_EQ(ask(*restarted, kNow + policy_.refresh), "ok");
  EXPECT_EQ(wakes_, 4) << "as old as its row says";
}

TEST_F(Cache, AsksAgainWhenARowIsDamaged) {
  ASSERT_EQ(ask(*replica(), kNow), "ok");
  store_.rows.at("rootcrl").body = "not base64";
  std::string& body = store_.rows.at("qe:standard").body;
  body[body.find("TD_QE")] = 'X';  // the signature does not fit any more
  EXPECT_EQ(ask(*replica(), kNow), "ok");
  EXPECT_EQ(publisher_.count(), 6U);
}

// covers: S01_DCAP_014
TEST_F(Cache, TakesOverWhatAnotherReplicaRefreshed) {
  const auto one = replica(), two = replica();
  ASSERT_EQ(ask(*one, kNow), "ok");
  ASSERT_EQ(ask(*two, kNow), "ok");
  EXPECT_EQ(publisher_.count(), 4U) << "the second one found the table";
  const UtcTime stale = kNow + policy_.refresh;
  publish(stale - Seconds(1), 2);
  ASSERT_EQ(one->refresh_due(stale, 32, {}).refreshed, 4);
  EXPECT_EQ(publisher_.count(), 8U);
  const auto collateral = two->get(kFmspc, CaKind::platform, stale, {});
  ASSERT_TRUE(collateral);
  EXPECT_NE(collateral->tcb_info->body().find("\"tcbEvaluationDataNumber\":2"), std::string::npos);
  EXPECT_EQ(wakes_, 0);
  EXPECT_EQ(two->refresh_due(stale, 32, {}).refreshed, 0);
  EXPECT_EQ(publisher_.count(), 8U);
}

TEST_F(Cache, LetsTheNewerOfTwoReplicasWin) {
  // Between this replica's check and its write another one stores newer collateral.
  struct Racing final : CollateralStore {
    explicit Racing(FakeCollateralStore& inner) : table(inner) {}
    Result<std::optional<CollateralRow>> load(const std::string& key) override { return table.load(key); }
    Result<bool> save(const CollateralRow& row) override {
      if (newer && row.cache_key == newer->cache_key) {
        const auto stored = table.save(*newer);
        newer.reset();
        EXPECT_TRUE(stored && *stored);
      }
      return table.save(row);
    }
    FakeCollateralStore& table;
    std::optional<CollateralRow> newer;
  };
  publish(kIssued, 3);
  ASSERT_EQ(ask(*replica(), kNow), "ok");
  Racing racing(store_);
  racing.newer = store_.rows.at("qe:standard");
  store_.rows.clear();
  publish(kIssued, 2);
  CollateralCache cache({.fetcher = publisher_, .store = racing, .anchor = emulator_anchor()});
  const auto collateral = cache.get(kFmspc, CaKind::platform, kNow, {});
  ASSERT_TRUE(collateral) << slug(collateral.error().code);
  EXPECT_NE(collateral->qe_identity->body().find("\"tcbEvaluationDataNumber\":3"), std::string::npos);
  EXPECT_EQ(store_.rows.at("qe:standard").eval_number, 3);
}

TEST_F(Cache, KeepsOnlyWhatIsGenuine) {
  const auto refused = [&](const std::function<void(EmulatedEvidence&)>& change) {
    publisher_.content = {};
    change(publisher_.content);
    store_.rows.clear();
    const std::string result = ask(*replica(), kNow);
    for (const auto& [key, row] : store_.rows) EXPECT_TRUE(item_of(CollateralKind::tcb_info, row)) << key;
    return result;
  };
  EXPECT_EQ(refused([](auto& all) { all.options.key_label = "somebody else"; }), "crl_invalid");
  EXPECT_TRUE(store_.rows.empty());
  EXPECT_EQ(
      refused([](auto& all) { all.change_collateral = [](EmulatedCollateral& c) { c.tcb_info_signature[0] ^= 1; }; }),
      "tcb_info_signature_invalid");
  EXPECT_FALSE(store_.rows.contains("tcb:ee0000000001:standard"));
  EXPECT_EQ(refused([](auto& all) { all.change_collateral = [](EmulatedCollateral& c) { c.qe_identity += " "; }; }),
            "ok")
      << "white space outside of the signed bytes is no part of the document";
  EXPECT_EQ(
      refused([](auto& all) { all.change_collateral = [](EmulatedCollateral& c) { c.qe_identity.insert(1, " "); }; }),
      "qe_identity_signature_invalid");
  EXPECT_EQ(refused([](auto& all) { all.options.revoke_tcb_signer = true; }), "pck_revoked");
  EXPECT_EQ(refused([](auto& all) { all.options.revoke_platform_ca = true; }), "pck_revoked");
  EXPECT_EQ(refused([](auto& all) { all.options.fmspc[5] = 2; }), "tcb_info_mismatch");
  EXPECT_EQ(refused([](auto& all) { all.options.issued_at = kNow + Seconds(5); }), "collateral_expired");
  EXPECT_EQ(refused([](auto& all) { all.options.issued_at = kNow - days(31); }), "collateral_expired");
  EXPECT_TRUE(store_.rows.empty());
}

TEST_F(Cache, WantsTheCrlOfTheCaItAskedFor) {
  EXPECT_EQ(ask(*replica(), kNow, kFmspc, CaKind::processor), "crl_invalid");
}

TEST_F(Cache, TakesNoFmspcThatIsNone) {
  for (const char* wrong : {"", "EE0000000001", "ee000000001", "ee0000000001&x=", "../../etc/pa"})
    EXPECT_EQ(ask(*replica(), kNow, wrong), "fmspc_unknown") << wrong;
  EXPECT_EQ(publisher_.count(), 0U);
}

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
TEST(RecordedCache, KeepsIntelsCollateral) {
  EE_NEED_VECTORS();
  struct Recorded final : CollateralFetcher {
    Result<CollateralItem> fetch(const CollateralKey& key, std::stop_token) override {
      switch (key.kind) {
        case CollateralKind::root_crl: return *items.root_crl;
        case CollateralKind::pck_crl: return *items.pck_crl;
        case CollateralKind::tcb_info: return *items.tcb_info;
        case CollateralKind::qe_identity: return *items.qe_identity;
      }
      return fail(ErrorCode::internal_error);
    }
    Collateral items = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json").items();
  } recorded;
  FakeCollateralStore store;
  const UtcTime now = testing::at("2025-07-01T00:00:00Z");
  for (int start = 0; start < 2; ++start) {
    CollateralCache cache({.fetcher = recorded, .store = store});
    const auto result = DcapVerifier().verify(testing::read_recorded_quote("dcap-qvl/tdx_quote"), cache, {}, now, {});
    ASSERT_TRUE(result) << slug(result.error().code) << " " << result.error().detail;
    EXPECT_EQ(result->status, TcbStatus::UpToDate);
  }
  EXPECT_EQ(store.rows.at("tcb:b0c06f000000:standard").eval_number, 17);
}

}  // namespace
}  // namespace ee::attestation
