#include "common/credential.h"

#include <gtest/gtest.h>

#include <array>
#include <regex>

#include "common/fake_random.h"

namespace ee {
namespace {

constexpr std::string_view kVector = "ee_agent_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";
constexpr CredentialKind kAllKinds[] = {CredentialKind::live, CredentialKind::sess,   CredentialKind::agent,
                                        CredentialKind::boot, CredentialKind::enroll, CredentialKind::svc};

// covers: S04_AUTH_CRED_001
TEST(Credential, TenThousandRoundTrips) {
  FakeRandom random(7);
  for (int i = 0; i < 10000; ++i) {
    const auto made = new_credential(kAllKinds[i % 6], random);
    ASSERT_TRUE(made);
    const auto parsed = parse_credential(made->text.reveal());
    ASSERT_TRUE(parsed) << i;
    EXPECT_EQ(parsed->kind, made->kind);
    EXPECT_EQ(parsed->lookup, made->lookup);
    EXPECT_EQ(parsed->text, made->text);
  }
}

// covers: S04_AUTH_CRED_002
TEST(Credential, EveryAlteredPositionIsRefused) {
  const std::string text(kVector);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string altered = text;
      if (altered[i] == static_cast<char>(c)) continue;
      altered[i] = static_cast<char>(c);
      EXPECT_FALSE(parse_credential(altered)) << i << ' ' << c;
    }
    EXPECT_FALSE(parse_credential(text.substr(0, i))) << i;
    EXPECT_FALSE(parse_credential(text.substr(i + 1))) << i;
  }
  EXPECT_FALSE(parse_credential(text + "0"));
  EXPECT_FALSE(parse_credential(" " + text));
  EXPECT_FALSE(parse_credential(text + "\n"));
  EXPECT_FALSE(parse_credential(text + std::string(1, '\0')));
}

// covers: S04_AUTH_CRED_003
TEST(Credential, AnotherKindWithoutItsOwnCrcIsRefused) {
  const std::string rest(kVector.substr(8));
  for (const std::string kind : {"live", "sess", "boot", "enroll", "svc", "admin", "AGENT", ""})
    EXPECT_FALSE(parse_credential("ee_" + kind + rest)) << kind;
  EXPECT_TRUE(parse_credential("ee_agent" + rest));
}

// covers: S04_AUTH_CRED_004
TEST(Credential, ReadsTheVector) {
  const auto parsed = parse_credential(kVector);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kind, CredentialKind::agent);
  EXPECT_EQ(parsed->lookup, "abcdefghijklmnop");
}

// covers: S04_AUTH_CRED_005
TEST(Credential, SecretsAreUnbiased) {
  FakeRandom random(11);
  std::array<double, 128> counts{};
  double total = 0;
  for (int i = 0; i < 5000; ++i) {
    const auto made = new_credential(CredentialKind::live, random).value();
    for (const char c : made.text.reveal().substr(25, 43)) {
      ++counts[static_cast<unsigned char>(c)];
      ++total;
    }
  }
  double chi_square = 0;
  int characters = 0;
  for (const char c : std::string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")) {
    const double expected = total / 62;
    const double difference = counts[static_cast<unsigned char>(c)] - expected;
    chi_square += difference * difference / expected;
    ++characters;
  }
  ASSERT_EQ(characters, 62);
  // 61 degrees of freedom: 113.1 is passed once in 20,000 runs. Plain `byte % 62` gives about 2,600 here.
  EXPECT_LT(chi_square, 113.1);
}

// covers: S04_AUTH_CRED_006
TEST(Credential, ScannerPatternFindsThem) {
  FakeRandom random(13);
  const std::regex pattern{std::string(kCredentialPattern)};
  for (const CredentialKind kind : kAllKinds) {
    const auto made = new_credential(kind, random).value();
    const std::string line = "key: \"" + made.text.reveal() + "\", next";
    std::smatch found;
    ASSERT_TRUE(std::regex_search(line, found, pattern)) << to_string(kind);
    EXPECT_EQ(found.str(), made.text.reveal());
  }
  EXPECT_FALSE(std::regex_search("ee_live_" + std::string(16, 'a') + "_" + std::string(50, 'a'), pattern));
}

TEST(Credential, NeedsRandomBytes) {
  FakeRandom random;
  random.set_failing(true);
  const auto made = new_credential(CredentialKind::sess, random);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::internal_error);
}

}  // namespace
}  // namespace ee
