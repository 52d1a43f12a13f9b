#include "cp/domain/placement.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

const AccountId kAccount("acct");
const AccountId kOther("other");

// Order of precedence: drain, reservation, private account, GitHub owner, public.
TEST(PlacementKey, FollowsItsOrder) {
  PlacementInputs inputs{.draining = true,
                         .reserved_for = kOther,
                         .scope = PlacementScope::private_,
                         .account_id = kAccount,
                         .github_owner_id = 4711};
  EXPECT_EQ(placement_key(inputs), "x");
  inputs.draining = false;
  EXPECT_EQ(placement_key(inputs), "r:other");
  inputs.reserved_for.reset();
  EXPECT_EQ(placement_key(inputs), "a:acct");
  inputs.scope = PlacementScope::public_;
  EXPECT_EQ(placement_key(inputs), "g:4711");
  inputs.github_owner_id.reset();
  EXPECT_EQ(placement_key(inputs), "p");
  EXPECT_EQ(placement_key(PlacementInputs{.scope = PlacementScope::private_, .github_owner_id = 1}), "g:1");
}

TEST(PlacementScope, IsPrivateForOwnedAgentsUnlessOrdered) {
  EXPECT_EQ(default_placement_scope({}, {}, false), PlacementScope::public_);
  EXPECT_EQ(default_placement_scope(kAccount, {}, false), PlacementScope::private_);
  EXPECT_EQ(default_placement_scope({}, 1, false), PlacementScope::private_);
  EXPECT_EQ(default_placement_scope(kAccount, 1, true), PlacementScope::public_);
  EXPECT_EQ(name_of(PlacementScope::private_), "private");
  EXPECT_EQ(enum_of<PlacementScope>("public"), PlacementScope::public_);
  EXPECT_EQ(enum_of<PlacementScope>("public_"), std::nullopt);
}

}  // namespace
}  // namespace ee::cp
