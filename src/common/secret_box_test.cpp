#include "common/secret_box.h"

#include <gtest/gtest.h>

#include "common/random.h"

namespace ee {
namespace {

Secret key(char c) { return Secret(std::string(32, c)); }

class SecretBoxTest : public ::testing::Test {
 protected:
  SystemRandom random_;
};

TEST_F(SecretBoxTest, OpensWhatItSealed) {
  const SecretBox box({key('a')});
  for (const std::string& value : {std::string(), std::string("hunter2"), std::string(64UL * 1024, 'x')}) {
    const auto sealed = box.seal(value, "d|1|NAME", random_);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(sealed->key_id.size(), 8U);
    EXPECT_EQ(box.open(*sealed, "d|1|NAME")->reveal(), value);
  }
}

TEST_F(SecretBoxTest, TheSameValueNeverLooksTheSame) {
  const SecretBox box({key('a')});
  EXPECT_NE(box.seal("v", "x", random_)->sealed, box.seal("v", "x", random_)->sealed);
}

TEST_F(SecretBoxTest, AnOldKeyStillOpensAndTheNewOneSeals) {
  const auto old = SecretBox({key('a')}).seal("v", "x", random_);
  const SecretBox both({key('b'), key('a')});
  EXPECT_EQ(both.open(*old, "x")->reveal(), "v");
  EXPECT_NE(both.seal("v", "x", random_)->key_id, old->key_id);
  EXPECT_EQ(SecretBox({key('b')}).open(*old, "x").error().code, ErrorCode::secrets_unavailable);
}

TEST_F(SecretBoxTest, WhatWasChangedOrBelongsElsewhereDoesNotOpen) {
  const SecretBox box({key('a')});
  const auto sealed = box.seal("value", "d|1|NAME", random_);
  EXPECT_FALSE(box.open(*sealed, "d|2|NAME"));
  auto raw = from_base64(sealed->sealed).value();
  for (std::size_t at = 0; at < raw.size(); ++at) {
    ByteVector changed = raw;
    changed[at] ^= 1;
    EXPECT_FALSE(box.open({.key_id = sealed->key_id, .sealed = to_base64(changed)}, "d|1|NAME")) << at;
  }
  EXPECT_FALSE(box.open({.key_id = sealed->key_id, .sealed = "AAAA"}, "d|1|NAME"));
  EXPECT_FALSE(box.open({.key_id = sealed->key_id, .sealed = "no base64"}, "d|1|NAME"));
}

TEST_F(SecretBoxTest, WithoutAKeyNothingIsKept) {
  const SecretBox none({});
  EXPECT_FALSE(none.available());
  EXPECT_EQ(none.seal("v", "x", random_).error().code, ErrorCode::secrets_unavailable);
}

}  // namespace
}  // namespace ee
