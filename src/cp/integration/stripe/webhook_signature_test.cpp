#include "cp/integration/stripe/webhook_signature.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "common/crypto.h"

namespace ee::cp::stripe {
namespace {

constexpr std::int64_t kNowSeconds = 1'767'225'600;
const UtcTime kNow{Seconds(kNowSeconds)};
constexpr Seconds kTolerance{300};
constexpr std::string_view kBody = R"({"id":"evt_1"})";
const Secret kSecret("whsec_one");
const Secret kOther("whsec_two");

/// Computed as Stripe's guide says, apart from the code under test.
std::string v1(const Secret& secret, std::int64_t t, std::string_view body = kBody) {
  return to_hex(hmac_sha256(bytes_of(secret.reveal()), bytes_of(std::to_string(t) + "." + std::string(body))));
}
std::string header(const std::string& signature, std::int64_t t = kNowSeconds) {
  return "t=" + std::to_string(t) + ",v1=" + signature;
}

/// Nothing: accepted.
std::optional<ErrorCode> verdict(std::string_view body, std::string_view head, UtcTime now = kNow,
                                 std::vector<Secret> secrets = {kSecret}) {
  const auto verified = verify_webhook(body, head, secrets, now, kTolerance);
  return verified ? std::nullopt : std::optional(verified.error().code);
}

constexpr auto kAccepted = std::nullopt;
constexpr auto kInvalid = ErrorCode::invalid_signature;

// `printf '1767225600.{}' | openssl dgst -sha256 -hmac whsec_one`
TEST(WebhookSignature, FitsOneThatOpensslMade) {
  EXPECT_EQ(verdict("{}", "t=1767225600,v1=eee15337ea7de13c110c96be0cb03cf11a6d3dafb2652fa9a7cd824916f79ec0"),
            kAccepted);
}

// covers: S04_STR_SIG_001
TEST(WebhookSignature, OfASecretInForceIsAccepted) {
  EXPECT_EQ(verdict(kBody, header(v1(kSecret, kNowSeconds))), kAccepted);
  EXPECT_EQ(verdict(kBody, header(v1(kOther, kNowSeconds))), kInvalid);
  EXPECT_EQ(verdict(kBody, header(v1(kSecret, kNowSeconds)), kNow, {}), kInvalid);
  EXPECT_EQ(verdict(kBody, header(v1(Secret(""), kNowSeconds)), kNow, {Secret("")}), kInvalid);
}

// covers: S04_STR_SIG_002
TEST(WebhookSignature, OfEitherOfTwoSecretsIsAccepted) {
  for (const Secret& used : {kSecret, kOther})
    EXPECT_EQ(verdict(kBody, header(v1(used, kNowSeconds)), kNow, {kSecret, kOther}), kAccepted);
}

// covers: S04_STR_SIG_003
TEST(WebhookSignature, MayBeAnyOfEight) {
  const std::string good = v1(kSecret, kNowSeconds);
  const std::string bad = v1(kOther, kNowSeconds);
  EXPECT_EQ(verdict(kBody, header(bad) + ",v1=" + good), kAccepted);
  EXPECT_EQ(verdict(kBody, header(good) + ",v1=" + bad), kAccepted);
  std::string eight = header(bad);
  for (int i = 0; i < 6; ++i) eight += ",v1=" + bad;
  EXPECT_EQ(verdict(kBody, eight + ",v1=" + good), kAccepted);
  EXPECT_EQ(verdict(kBody, eight + ",v1=" + bad + ",v1=" + good), kInvalid) << "nine";
}

// covers: S04_STR_SIG_004
TEST(WebhookSignature, OfAnotherSchemeDoesNotCount) {
  const std::string good = v1(kSecret, kNowSeconds);
  EXPECT_EQ(verdict(kBody, "t=" + std::to_string(kNowSeconds) + ",v0=" + good), kInvalid);
  EXPECT_EQ(verdict(kBody, header(good) + ",v0=" + std::string(64, '0')), kAccepted);
}

// covers: S04_STR_SIG_005
TEST(WebhookSignature, OfAnotherTimeHasExpired) {
  for (const std::int64_t apart : {-300, 300}) {
    const std::int64_t t = kNowSeconds + apart;
    EXPECT_EQ(verdict(kBody, header(v1(kSecret, t), t)), kAccepted) << apart;
  }
  for (const std::int64_t apart : {-301, 301, -100'000, 100'000}) {
    const std::int64_t t = kNowSeconds + apart;
    EXPECT_EQ(verdict(kBody, header(v1(kSecret, t), t)), ErrorCode::signature_expired) << apart;
  }
  // Of a bad signature the time is nobody's business.
  EXPECT_EQ(verdict(kBody, header(v1(kOther, 1), 1)), kInvalid);
}

// covers: S04_STR_SIG_006
TEST(WebhookSignature, FitsNoOtherBody) {
  const std::string head = header(v1(kSecret, kNowSeconds));
  for (std::size_t i = 0; i < kBody.size(); ++i) {
    std::string body(kBody);
    body[i] = static_cast<char>(body[i] ^ 1);
    EXPECT_EQ(verdict(body, head), kInvalid) << i;
  }
  EXPECT_EQ(verdict(std::string(kBody) + " ", head), kInvalid);
  EXPECT_EQ(verdict("", head), kInvalid);
  // The time is signed too.
  EXPECT_EQ(verdict(kBody, header(v1(kSecret, kNowSeconds), kNowSeconds + 1)), kInvalid);
  EXPECT_EQ(verdict(kBody, "t=0" + std::to_string(kNowSeconds) + ",v1=" + v1(kSecret, kNowSeconds)), kInvalid);
}

// covers: S04_STR_SIG_007, S04_STR_SIG_008
TEST(WebhookSignature, MustBeThereAndWellFormed) {
  const std::string good = v1(kSecret, kNowSeconds);
  const std::string t = "t=" + std::to_string(kNowSeconds);
  std::string upper = good;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'f' ? c - 32 : c);
  for (const std::string& bad : {std::string(),
                                 t,
                                 "v1=" + good,
                                 t + ",v1=",
                                 t + ",v1=" + good.substr(1),
                                 t + ",v1=" + good + "0",
                                 t + ",v1=" + good.substr(1) + "g",
                                 t + ",v1=" + upper,
                                 t + "," + t + ",v1=" + good,
                                 "t=,v1=" + good,
                                 "t=-1,v1=" + good,
                                 "t=1.5,v1=" + good,
                                 "t=1234567890123,v1=" + good,
                                 t + " ,v1=" + good,
                                 t + ", v1=" + good,
                                 t + ",v1=" + good + ",",
                                 "," + t + ",v1=" + good,
                                 t + ";v1=" + good,
                                 t + ",v1=" + good + ",=x",
                                 t + ",v1=" + good + ",x",
                                 t + ",v1=" + good + ",v1=zz",
                                 t + ",v1=" + good + ",v2=" + std::string(5000, 'a')})
    EXPECT_EQ(verdict(kBody, bad), kInvalid) << bad;
}

}  // namespace
}  // namespace ee::cp::stripe
