#include "cp/integration/registry/auth_challenge.h"

#include <gtest/gtest.h>

namespace ee::cp::registry {
namespace {

TEST(AuthChallenge, ReadsSchemesParametersAndQuotedStrings) {
  const auto read = parse_challenges(
      R"(Bearer realm="https://auth.example/token?a=b,c",service="the \"one\"" , Scope=x, Basic realm="r")");
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ((*read)[0].scheme, "bearer");
  EXPECT_EQ((*read)[0].parameter("realm"), "https://auth.example/token?a=b,c");
  EXPECT_EQ((*read)[0].parameter("service"), "the \"one\"");
  EXPECT_EQ((*read)[0].parameter("scope"), "x");
  EXPECT_EQ((*read)[0].parameter("nonce"), std::nullopt);
  EXPECT_EQ((*read)[1].scheme, "basic");
  EXPECT_EQ((*read)[1].parameter("realm"), "r");
  EXPECT_EQ(parse_challenges("Basic")->front().scheme, "basic");
  EXPECT_TRUE(parse_challenges("")->empty());
}

TEST(AuthChallenge, RefusesWhatBreaksTheGrammar) {
  for (const char* text :
       {"Bearer realm=\"open", "Bearer realm=", "realm=\"first\"", "Bearer realm=a, realm=b", "Bearer realm=\"a\nb\"",
        "Negotiate abc==", "Bearer \"x\"", "Bearer realm=\"a\\", "Bearer realm=\"a\x7f\""})
    EXPECT_FALSE(parse_challenges(text)) << text;
  EXPECT_FALSE(parse_challenges("Bearer realm=\"" + std::string(kMaxChallengeBytes, 'a') + "\""));
}

}  // namespace
}  // namespace ee::cp::registry
