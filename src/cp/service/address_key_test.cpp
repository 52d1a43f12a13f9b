#include "cp/service/address_key.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

TEST(AddressKey, OneKeyPerCustomer) {
  EXPECT_EQ(address_key("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(address_key("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(address_key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(address_key("2001:db8:1:2::"), address_key("2001:0db8:0001:0002:ffff:ffff:ffff:ffff"));
  EXPECT_NE(address_key("2001:db8:1:2::1"), address_key("2001:db8:1:3::1"));
  EXPECT_EQ(address_key("::1"), "::/64");
  EXPECT_EQ(address_key("unix"), "unix");
  EXPECT_EQ(address_key(""), "");
}

}  // namespace
}  // namespace ee::cp
