#include <functional>

#include "attestation/verify/collateral_cache_fixture.h"
#include "attestation/verify/dcap_verifier.h"
#include "tests/support/recorded_collateral.h"

// What the cache takes over from the publisher, the table and other replicas, and what it refuses.
namespace ee::attestation {
namespace {

using cache_test::Cache;
using cache_test::EmulatedEvidence;
using cache_test::FakeCollateralStore;
using cache_test::kFmspc;
using cache_test::kIssued;
using cache_test::kNow;
using std::chrono::days;
using std::chrono::hours;

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
