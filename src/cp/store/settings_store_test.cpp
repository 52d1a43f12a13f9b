#include "cp/store/settings_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

class SettingsStoreTest : public ::testing::Test {
 protected:
  void put(const std::string& key, const std::string& value, bool is_secret = false) {
    const auto done = db_->write<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto put = store_.put(
          tx,
          {.key = key, .value = value, .is_secret = is_secret, .updated_by = "admin:1", .updated_at = from_unix_ms(5)});
      if (!put) return std::unexpected(put.error());
      return true;
    });
    ASSERT_TRUE(done) << done.error().detail;
  }
  void remove(const std::string& key) {
    const auto done = db_->write<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto removed = store_.remove(tx, key);
      if (!removed) return std::unexpected(removed.error());
      return true;
    });
    ASSERT_TRUE(done) << done.error().detail;
  }
  SettingRows all() {
    return db_->read<SettingRows>([&](db::Transaction& tx) { return store_.all(tx); }).value();
  }

  ::ee::testing::TestDatabase db_;
  SettingsStore store_;
};

TEST_F(SettingsStoreTest, CountsTheVersionsOfARowAndOfTheTable) {
  EXPECT_EQ(all().settings_version, 0);
  put("a.b", "1");
  put("a.b", "2", true);
  put("a.c", "");
  const SettingRows found = all();
  ASSERT_EQ(found.rows.size(), 2U);
  EXPECT_EQ(found.rows[0].key, "a.b");
  EXPECT_EQ(found.rows[0].value, "2");
  EXPECT_TRUE(found.rows[0].is_secret);
  EXPECT_EQ(found.rows[0].version, 2);
  EXPECT_EQ(found.rows[0].updated_by, "admin:1");
  EXPECT_EQ(found.rows[0].updated_at, from_unix_ms(5));
  EXPECT_EQ(found.rows[1].value, "");
  EXPECT_EQ(found.settings_version, 3);
}

TEST_F(SettingsStoreTest, RemovesARowOnce) {
  put("a.b", "1");
  remove("a.b");
  remove("a.b");
  EXPECT_TRUE(all().rows.empty());
  EXPECT_EQ(all().settings_version, 2);
}

}  // namespace
}  // namespace ee::cp
