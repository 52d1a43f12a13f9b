#include "cp/store/meta_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

TEST(MetaStore, KeepsOneValuePerKey) {
  TestDatabase db;
  const MetaStore meta;
  const auto result = db->write<std::optional<std::string>>([&](db::Transaction& tx) {
    EXPECT_EQ(*meta.get(tx, "k"), std::nullopt);
    EXPECT_TRUE(meta.set(tx, "k", "one"));
    EXPECT_TRUE(meta.set(tx, "k", "two"));
    return meta.get(tx, "k");
  });
  EXPECT_EQ(**result, "two");
  EXPECT_TRUE(db->run_write([&](db::Transaction& tx) { return meta.remove(tx, "k"); }));
  EXPECT_EQ(db.values<std::string>("SELECT value FROM meta WHERE key = 'k'").size(), 0U);
}

TEST(MetaStore, CountsUpFromNothing) {
  TestDatabase db;
  const MetaStore meta;
  for (std::int64_t expected = 1; expected <= 3; ++expected) {
    EXPECT_EQ(*db->write<std::int64_t>([&](db::Transaction& tx) { return meta.raise(tx, kTrustVersionKey); }),
              expected);
  }
  EXPECT_EQ(*db->read<std::int64_t>([&](db::Transaction& tx) { return meta.number(tx, kTrustVersionKey); }), 3);
}

TEST(MetaStore, ADamagedNumberIsAnErrorNotZero) {
  TestDatabase db;
  db.execute("INSERT INTO meta (key, value) VALUES ('trust_version', '3x')");
  EXPECT_FALSE(db->read<std::int64_t>([&](db::Transaction& tx) { return MetaStore().number(tx, kTrustVersionKey); }));
}

TEST(MetaStore, KnowsWhenItWasRestored) {
  TestDatabase db;
  const auto ask = [&] {
    return db->read<std::optional<UtcTime>>([](db::Transaction& tx) { return MetaStore().restored_at(tx); });
  };
  EXPECT_EQ(*ask(), std::nullopt);
  db.execute("INSERT INTO meta (key, value) VALUES ('restored_at', '1767225600123')");
  EXPECT_EQ(*ask(), from_unix_ms(1767225600123));
}

TEST(MetaStore, AProbeIsARealWrite) {
  TestDatabase db;
  const UtcTime now = from_unix_ms(5);
  EXPECT_TRUE(db->run_write([&](db::Transaction& tx) { return MetaStore().probe(tx, now); }));
  EXPECT_EQ(db.value<std::string>("SELECT value FROM meta WHERE key = 'write_probe_at'"), "5");
}

}  // namespace
}  // namespace ee::cp
