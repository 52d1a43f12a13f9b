#include "cp/store/trust_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using attestation::MrtdKind;
using testing::TestDatabase;

const UtcTime kNow = from_unix_ms(1767225600000);

std::string hex(char digit) { return std::string(96, digit); }

class TrustStoreTest : public ::testing::Test {
 protected:
  TrustedMrtdRow row(char digit, MrtdKind kind = MrtdKind::agent) {
    return {.mrtd = hex(digit),
            .kind = kind,
            .note = "n",
            .created_by = "admin:1",
            .created_at = kNow + Milliseconds(digit),
            .updated_at = kNow};
  }
  RtmrProfileRow profile(const std::string& id, char digit) {
    return {.id = id,
            .mrtd = hex(digit),
            .name = "name-" + id,
            .rtmr1 = hex('1'),
            .created_by = "admin:1",
            .created_at = kNow};
  }
  template <class T>
  Result<T> write(const std::function<Result<T>(db::Transaction&)>& work) {
    return db_->write<T>(work);
  }
  ErrorCode refused(const std::function<Result<void>(db::Transaction&)>& work) {
    const auto result = db_->run_write(work);
    EXPECT_FALSE(result);
    return result ? ErrorCode::internal_error : result.error().code;
  }
  void add(const TrustedMrtdRow& row) {
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.add(tx, row); }));
  }
  void add_profile(const RtmrProfileRow& row) {
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.add_profile(tx, row); }));
  }
  std::int64_t version() {
    return *db_->read<std::int64_t>([&](db::Transaction& tx) { return store_.version(tx); });
  }

  TestDatabase db_;
  TrustStore store_;
};

TEST_F(TrustStoreTest, LoadsWhatADecisionNeeds) {
  TrustedMrtdRow disabled = row('b', MrtdKind::control_plane);
  disabled.enabled = false;
  disabled.expires_at = kNow + Seconds(5);
  add(row('a'));
  add(disabled);
  RtmrProfileRow sized = profile("p1", 'a');
  sized.node_size = "tiny";
  sized.rtmr3 = hex('3');
  add_profile(sized);

  const auto loaded = db_->read<TrustStore::Loaded>([&](db::Transaction& tx) { return store_.load(tx); });
  ASSERT_TRUE(loaded) << loaded.error().detail;
  EXPECT_EQ(loaded->version, 3);
  ASSERT_EQ(loaded->trust.mrtds.size(), 2U);
  const auto& second = loaded->trust.mrtds[1];
  EXPECT_EQ(to_hex(second.mrtd), hex('b'));
  EXPECT_EQ(second.kind, MrtdKind::control_plane);
  EXPECT_FALSE(second.enabled);
  EXPECT_EQ(second.expires_at, kNow + Seconds(5));
  EXPECT_EQ(second.source, attestation::TrustSource::database);
  ASSERT_EQ(loaded->trust.profiles.size(), 1U);
  const auto& found = loaded->trust.profiles[0];
  EXPECT_EQ(found.node_size, "tiny");
  EXPECT_EQ(found.rtmrs[0], std::nullopt);
  EXPECT_EQ(to_hex(*found.rtmrs[1]), hex('1'));
  EXPECT_EQ(to_hex(*found.rtmrs[3]), hex('3'));
}

TEST_F(TrustStoreTest, ADamagedRowTrustsNothing) {
  add(row('a'));
  db_.execute("UPDATE trusted_mrtds SET mrtd = 'short'");
  EXPECT_FALSE(db_->read<TrustStore::Loaded>([&](db::Transaction& tx) { return store_.load(tx); }));
}

TEST_F(TrustStoreTest, EveryChangeRaisesTheVersionAndARefusedOneDoesNot) {
  EXPECT_EQ(version(), 0);
  add(row('a'));
  EXPECT_EQ(version(), 1);
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.add(tx, row('a')); }), ErrorCode::mrtd_exists);
  EXPECT_EQ(version(), 1);
  add_profile(profile("p1", 'a'));
  EXPECT_EQ(version(), 2);
  ASSERT_TRUE(write<TrustedMrtdRow>(
      [&](db::Transaction& tx) { return store_.change(tx, hex('a'), {.enabled = false}, std::nullopt, kNow); }));
  EXPECT_EQ(version(), 3);
  ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.remove_profile(tx, hex('a'), "p1"); }));
  EXPECT_EQ(version(), 4);
  ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.remove(tx, hex('a')); }));
  EXPECT_EQ(version(), 5);
}

TEST_F(TrustStoreTest, AChangeTouchesWhatItNamesAndChecksTheVersion) {
  add(row('a'));
  const auto change = [&](const TrustedMrtdChange& wanted, std::optional<std::int64_t> if_version) {
    return write<TrustedMrtdRow>(
        [&](db::Transaction& tx) { return store_.change(tx, hex('a'), wanted, if_version, kNow + Seconds(9)); });
  };
  const auto first = change({.note = "new", .expires_at = std::optional(kNow + Seconds(60))}, 1);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->version, 2);
  EXPECT_EQ(first->note, "new");
  EXPECT_TRUE(first->enabled);
  EXPECT_EQ(first->expires_at, kNow + Seconds(60));
  EXPECT_EQ(first->updated_at, kNow + Seconds(9));
  EXPECT_EQ(change({.note = "late"}, 1).error().code, ErrorCode::version_mismatch);
  const auto second = change({.enabled = false, .expires_at = std::optional<std::optional<UtcTime>>(std::in_place)}, 2);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->expires_at, std::nullopt);
  EXPECT_FALSE(second->enabled);
  EXPECT_EQ(second->note, "new");
  const auto stored =
      db_->read<std::optional<TrustedMrtdRow>>([&](db::Transaction& tx) { return store_.get(tx, hex('a')); });
  EXPECT_EQ(**stored, *second);
}

TEST_F(TrustStoreTest, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.remove(tx, hex('a')); }), ErrorCode::mrtd_not_found);
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.add_profile(tx, profile("p", 'a')); }),
            ErrorCode::mrtd_not_found);
  EXPECT_EQ(write<TrustedMrtdRow>([&](db::Transaction& tx) { return store_.change(tx, hex('a'), {}, {}, kNow); })
                .error()
                .code,
            ErrorCode::mrtd_not_found);
  add(row('a'));
  add(row('b'));
  add_profile(profile("p", 'a'));
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.remove_profile(tx, hex('b'), "p"); }),
            ErrorCode::mrtd_not_found);
}

TEST_F(TrustStoreTest, ProfilesNeedANameOfTheirOwnAndARegister) {
  add(row('a'));
  add_profile(profile("p1", 'a'));
  RtmrProfileRow same_name = profile("p2", 'a');
  same_name.name = "name-p1";
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.add_profile(tx, same_name); }),
            ErrorCode::invalid_request);
  RtmrProfileRow empty = profile("p3", 'a');
  empty.rtmr1.reset();
  EXPECT_EQ(refused([&](db::Transaction& tx) { return store_.add_profile(tx, empty); }), ErrorCode::invalid_request);
}

TEST_F(TrustStoreTest, ProfilesGoWithTheirMrtd) {
  add(row('a'));
  add_profile(profile("p1", 'a'));
  ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.remove(tx, hex('a')); }));
  EXPECT_EQ(db_.value<std::int64_t>("SELECT count(*) FROM trusted_rtmr_profiles"), 0);
}

TEST_F(TrustStoreTest, ListsByCreationWithFilterAndPages) {
  add(row('c'));
  add(row('a'));
  TrustedMrtdRow cp = row('b', MrtdKind::control_plane);
  cp.enabled = false;
  add(cp);
  const auto list = [&](const TrustedMrtdFilter& filter, const PageRequest& page) {
    std::string digits;
    const auto found =
        db_->read<Page<TrustedMrtdRow>>([&](db::Transaction& tx) { return store_.list(tx, filter, page); });
    for (const auto& item : found->items) digits += item.mrtd[0];
    return digits + (found->next ? "+" : "");
  };
  EXPECT_EQ(list({}, {}), "abc");
  EXPECT_EQ(list({.kind = MrtdKind::agent}, {}), "ac");
  EXPECT_EQ(list({.enabled_only = true}, {}), "ac");
  EXPECT_EQ(list({}, {.limit = 2}), "ab+");
  EXPECT_EQ(list({}, {.limit = 2, .after = PagePosition{.at = kNow + Milliseconds('b'), .id = hex('b')}}), "c");
}

}  // namespace
}  // namespace ee::cp
