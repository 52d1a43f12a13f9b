// measure_compose over stand-ins of a registry and of cosign (01 section 18.4).
#include "cp/service/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/posix_subprocess.h"
#include "tests/standins/cosign/cosign.h"
#include "tests/standins/registry/registry.h"

namespace ee::cp {
namespace {

using standins::CosignScript;
using standins::Registry;
using ::testing::ElementsAre;

const AccountId kAccount("01900000-0000-7000-8000-000000000001");

struct MeasurementTest : ::testing::Test {
  MeasurementTest() {
    clock.set_auto_advance(true);
    settings.cosign_binary = script.binary();
    good = registry.put_index("app/good", "1", "good");
    bad = registry.put_image("app/bad", "1", "bad");
    script.say(CosignScript::verified(good), good);
    policy.rule = {.issuer = "https://issuer.example", .identities = {{.text = "^x$", .is_regexp = true}}};
  }
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request) {
    constexpr std::string_view kBase = "https://registry.test";
    if (!request.url.starts_with(kBase)) return std::unexpected(HttpFailure::resolve);
    net::Request to;
    to.method = "GET";
    to.path = request.url.substr(kBase.size());
    to.headers = request.headers;
    net::Response response = registry.answer(to);
    return HttpClientResponse{
        .status = response.status, .headers = std::move(response.headers), .body = std::move(response.body)};
  }
  Result<Measurement> measure(const std::string& compose, const std::stop_token& stop = {}) {
    return measurer.measure_compose(compose, "linux/amd64", policy, kAccount, stop);
  }
  static std::string code(const Result<Measurement>& result) {
    return result ? "ok" : std::string(slug(result.error().code));
  }

  Registry registry;
  CosignScript script;
  FakeClock clock;
  SystemRandom random;
  FakeHttpClient http{[this](const HttpClientRequest& request) { return answer(request); }};
  registry::RegistryClient client{http, clock, random};
  PosixSubprocessLauncher launcher;
  cosign::Cosign cosign{{.launcher = launcher, .clock = clock, .path = "/usr/bin:/bin", .ssl_cert_file = "/x"}};
  MeasureSettings settings;
  metrics::Registry metrics;
  Measurer measurer{{.registries = client,
                     .cosign = cosign,
                     .clock = clock,
                     .settings = [this] { return settings; },
                     .metrics = metrics}};
  SignaturePolicy policy{.mode = SignatureMode::warn};
  std::string good;
  std::string bad;
};

constexpr const char* kMixed =
    "services:\n  b: {image: 'registry.test/app/bad:1'}\n  a: {image: 'registry.test/app/good:1'}\n"
    "  c: {image: 'registry.test/app/good:1'}\n";

TEST_F(MeasurementTest, S01_CMP_005_MixedSuccessInModeWarn) {
  const auto measured = measure(kMixed);
  ASSERT_TRUE(measured) << measured.error().detail;
  EXPECT_EQ(measured->measurement_type, "cp_digest_resolution");
  EXPECT_EQ(measured->compose_sha256, to_hex(sha256(bytes_of(kMixed))));
  ASSERT_EQ(measured->images.size(), 3U);
  const MeasuredImage& a = measured->images.at("a");
  EXPECT_EQ(a.original, "registry.test/app/good:1");
  EXPECT_EQ(a.index_digest, good);
  EXPECT_EQ(a.pinned, "registry.test/app/good@" + a.digest);
  EXPECT_EQ(a.platform, "linux/amd64");
  EXPECT_EQ(a.signature.verified, true);
  EXPECT_EQ(a.signature.signed_by, CosignScript::kSubject);
  EXPECT_EQ(a.signature.log_index, 4711);
  EXPECT_THAT(a.warnings, ElementsAre());
  const MeasuredImage& b = measured->images.at("b");
  EXPECT_EQ(b.digest, bad);
  EXPECT_EQ(b.signature.verified, false);
  EXPECT_EQ(b.signature.error, "signature_missing");
  EXPECT_THAT(b.warnings, ElementsAre("signature_missing"));
  EXPECT_NE(measured->pinned_compose.find("registry.test/app/bad@" + bad), std::string::npos);
  EXPECT_NE(measured->compose_hash, measured->workload_hash);
  EXPECT_EQ(registry.count("/v2/app/good/manifests/1"), 1U) << "equal references are looked up once";
}

// covers: S01_CMP_005
TEST_F(MeasurementTest, TheFirstFailureByNameIsTheAnswerInModeStrict) {
  policy.mode = SignatureMode::strict;
  EXPECT_EQ(code(measure(kMixed)), "signature_missing");
  EXPECT_EQ(code(measure("services: {a: {image: registry.test/app/bad:1}, b: {image: registry.test/none:1}}")),
            "signature_missing");
  EXPECT_EQ(code(measure("services: {b: {image: registry.test/app/bad:1}, a: {image: registry.test/none:1}}")),
            "image_not_found");
  EXPECT_EQ(code(measure("services: {a: {image: registry.test/app/good:1}}")), "ok");
}

TEST_F(MeasurementTest, NothingIsLookedAtInModeDisabled) {
  policy.mode = SignatureMode::disabled;
  const auto measured = measure("services: {a: {image: registry.test/app/good:1}}");
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->images.at("a").signature.verified, std::nullopt);
  EXPECT_THAT(measured->images.at("a").warnings, ElementsAre("signature_check_disabled"));
  EXPECT_TRUE(script.calls().empty());
}

TEST_F(MeasurementTest, WarnsOfAnImplicitTag) {
  registry.put_index("app/good", "latest", "good");
  const auto measured = measure("services: {a: {image: registry.test/app/good}}");
  ASSERT_TRUE(measured);
  EXPECT_THAT(measured->images.at("a").warnings, ElementsAre("implicit_latest"));
}

TEST_F(MeasurementTest, RefusesWhatCannotBeMeasured) {
  EXPECT_EQ(code(measure("services: [")), "compose_invalid");
  EXPECT_EQ(code(measure("services: {a: {build: .}}")), "compose_forbidden");
  EXPECT_EQ(code(measure("services: {a: {image: 'registry.test/UPPER'}}")), "image_ref_invalid");
  EXPECT_EQ(slug(measurer.measure_compose("services: {}", "linux/arm64", policy, kAccount, {}).error().code),
            "platform_not_found");
  EXPECT_TRUE(http.calls().empty());
}

TEST_F(MeasurementTest, EndsInTime) {
  http.set_answer([this](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    clock.advance(Seconds(301));
    while (!request.stop.stop_requested()) std::this_thread::yield();
    return std::unexpected(HttpFailure::cancelled);
  });
  EXPECT_EQ(code(measure("services: {a: {image: registry.test/app/good:1}}")), "measurement_timeout");
}

TEST(SignaturePolicyMerge, TakesTheStricterAndFailsClosed) {
  const SignatureSettings common{.mode = "warn", .issuer = "https://i", .identity_regexp = "^a$"};
  EXPECT_EQ(merge_signature_policy(common, {})->mode, SignatureMode::warn);
  EXPECT_EQ(merge_signature_policy(common, {.mode = "strict"})->mode, SignatureMode::strict);
  EXPECT_EQ(merge_signature_policy(common, {.mode = "disabled"})->mode, SignatureMode::warn);
  const auto code = [](const Result<SignaturePolicy>& result) {
    return result ? "ok" : std::string(slug(result.error().code));
  };
  EXPECT_EQ(code(merge_signature_policy(common, {.mode = "off"})), "policy_invalid");
  EXPECT_EQ(code(merge_signature_policy(common, {.identity_regexp = "a"})), "policy_invalid");
  SignatureSettings wrong = common;
  wrong.mode = "";
  EXPECT_EQ(code(merge_signature_policy(wrong, {})), "policy_invalid");
  wrong = common;
  wrong.identity_regexp = "";
  EXPECT_EQ(code(merge_signature_policy(wrong, {})), "policy_invalid") << "anybody's signature is nobody's";
  wrong = common;
  wrong.cosign_mode = "key";
  EXPECT_EQ(code(merge_signature_policy(wrong, {})), "policy_invalid") << "without a key";
  wrong.public_key = "PEM";
  EXPECT_EQ(merge_signature_policy(wrong, {})->rule.mode, cosign::Mode::key);
  SignatureSettings exact = common;
  exact.identity = "https://one";
  const auto both = merge_signature_policy(exact, {.identity_regexp = "^b$", .issuer = "https://j"});
  EXPECT_EQ(both->rule.issuer, "https://j");
  EXPECT_THAT(both->rule.identities,
              ElementsAre(cosign::Identity{"https://one", false}, cosign::Identity{"^b$", true}));
}

TEST(IdentityRegexp, MustMeanTheSameToBothEngines) {
  for (const char* good : {"^a$", R"(^https://github\.com/[^/]+/(?:x|y)@refs/.*$)", R"(^\\1$)"})
    EXPECT_FALSE(identity_regexp_problem(good)) << good;
  for (const char* bad : {"", "a", "^a", "a$", "^(?=a)a$", "^(?!a)b$", "^(?<n>a)$", R"(^(a)\1$)", "^[$", "^($"})
    EXPECT_TRUE(identity_regexp_problem(bad)) << bad;
  EXPECT_TRUE(identity_regexp_problem("^" + std::string(512, 'a') + "$"));
}

}  // namespace
}  // namespace ee::cp
