#include "cp/domain/scope.h"

#include <gtest/gtest.h>

#include "cp/domain/account.h"

namespace ee::cp {
namespace {

TEST(Scopes, AreASetInTheOrderOfTheirNames) {
  const Scopes scopes = {Scope::read, Scope::account, Scope::read};
  EXPECT_EQ(scopes.json(), R"(["account","read"])");
  EXPECT_TRUE(scopes.has(Scope::read) && !scopes.has(Scope::deploy));
  EXPECT_EQ(Scopes::from_bits(scopes.bits()), scopes);
  EXPECT_EQ(Scopes::of_json(scopes.json()), scopes);
  EXPECT_EQ(Scopes().json(), "[]");
}

TEST(Scopes, OfTextThatIsNoneAreNothing) {
  EXPECT_FALSE(Scopes::of_names({"read", "root"}));
  for (const char* bad : {"", "{}", "\"read\"", "[1]", R"(["Read"])", R"(["read",])"})
    EXPECT_FALSE(Scopes::of_json(bad)) << bad;
  EXPECT_TRUE(Scopes::of_json("[]")->empty());
}

TEST(Scopes, OfAccountTypesAreThoseOfTheTable) {
  EXPECT_EQ(scopes_of(AccountType::deployer).json(),
            R"(["account","agents","apps","billing","capacity","deploy","read"])");
  EXPECT_EQ(scopes_of(AccountType::agent).json(), R"(["account","agents","billing","read"])");
  EXPECT_EQ(scopes_of(AccountType::contributor).json(), R"(["account","apps","billing","read"])");
  EXPECT_EQ(scopes_of(AccountType::launcher).json(), R"(["account","launcher","read"])");
  EXPECT_TRUE(scopes_of(AccountType::system).empty());
  EXPECT_TRUE(scopes_of(AccountType::deployer).holds(scopes_of(AccountType::agent)));
  EXPECT_FALSE(scopes_of(AccountType::agent).holds({Scope::deploy}));
}

}  // namespace
}  // namespace ee::cp
