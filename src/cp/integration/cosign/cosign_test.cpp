#include "cp/integration/cosign/cosign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <thread>

#include "common/fake_clock.h"
#include "common/image_ref.h"
#include "common/posix_subprocess.h"
#include "tests/standins/cosign/cosign.h"

namespace ee::cp::cosign {
namespace {

using standins::CosignScript;
using ::testing::ElementsAre;

const std::string kIndex = "sha256:" + std::string(64, '1');
const std::string kManifest = "sha256:" + std::string(64, '2');

struct CosignTest : ::testing::Test {
  CosignTest() { image = {.repository = "registry.example/app", .manifest_digest = kManifest}; }

  Result<Signature> verify(const std::stop_token& stop = {}) {
    return cosign.verify(script.binary(), rule, image, stop);
  }
  std::string code(const Result<Signature>& result) const {
    return result ? "ok" : std::string(slug(result.error().code));
  }
  std::string says(const std::string& text) {
    script.say(text);
    return code(verify());
  }
  /// Advances the clock until `done`; the child is real, its time-outs are not.
  std::string with_time_passing(const std::string& text) {
    script.say(text);
    std::jthread ticking([this](const std::stop_token& ended) {
      while (!ended.stop_requested()) {
        if (std::filesystem::exists(script / "ready")) clock.advance(Seconds(10));
        std::this_thread::yield();
      }
    });
    return code(verify());
  }

  CosignScript script;
  FakeClock clock;
  PosixSubprocessLauncher launcher;
  Cosign cosign{{.launcher = launcher, .clock = clock, .path = "/usr/bin:/bin", .ssl_cert_file = "/etc/ssl/roots.pem"}};
  Rule rule{.issuer = "https://issuer.example", .identities = {{.text = "^https://github.com/.*$", .is_regexp = true}}};
  Image image;
};

TEST_F(CosignTest, S01_COS_001_ASignatureOfThisDigestCounts) {
  script.say(CosignScript::verified(kManifest));
  const auto signature = verify();
  ASSERT_TRUE(signature) << signature.error().detail;
  EXPECT_EQ(signature->signed_by, CosignScript::kSubject);
  EXPECT_EQ(signature->issuer, "https://token.actions.githubusercontent.com");
  EXPECT_EQ(signature->log_index, 4711);
  EXPECT_THAT(script.calls(),
              ElementsAre(ElementsAre("verify", "--output", "json", "--certificate-oidc-issuer",
                                      "https://issuer.example", "--certificate-identity-regexp",
                                      "^https://github.com/.*$", "--", "registry.example/app@" + kManifest)));
}

TEST_F(CosignTest, S01_COS_002_AnythingElseThatItPrintsDoesNotCount) {
  const std::string other = "sha256:" + std::string(64, '3');
  EXPECT_EQ(says(CosignScript::verified(other)), "signature_output_invalid");
  for (const char* text :
       {"exit 0", "echo nonsense", "echo '[]'", "echo '{}'", "echo '[7]'", "echo '[{\"critical\":{}}]'",
        "echo '[{\"critical\":{\"image\":{\"docker-manifest-digest\":7}}}]'"})
    EXPECT_EQ(says(text), "signature_output_invalid") << text;
  // Beside another's, and without what is optional.
  EXPECT_EQ(says("echo '[" + CosignScript::element(other, "x") +
                 ",{\"critical\":{\"image\":{\"docker-manifest-digest\":\"" + kManifest + "\"}}}]'"),
            "ok");
}

TEST_F(CosignTest, S01_COS_003_ExitTenIsNoSignature) {
  EXPECT_EQ(says("exit 10"), "signature_missing");
  EXPECT_EQ(script.calls().size(), 1U);
}
TEST_F(CosignTest, S01_COS_004_ExitElevenIsNoImage) { EXPECT_EQ(says("exit 11"), "image_not_found"); }
TEST_F(CosignTest, S01_COS_005_ExitTwelveIsAnotherSigner) { EXPECT_EQ(says("exit 12"), "signature_untrusted"); }

TEST_F(CosignTest, S01_COS_006_AnyOtherExitIsAnErrorWithItsLastLine) {
  script.say("echo first >&2; printf 'last \\033[31mline\\t%0400d\\n' 0 >&2; exit 1");
  const auto failed = verify();
  EXPECT_EQ(code(failed), "signature_error");
  EXPECT_THAT(failed.error().detail, ::testing::StartsWith("cosign: last [31mline"));
  EXPECT_LE(failed.error().detail.size(), 308U);
  script.say("printf 'a\\377b\\303\\251c\\303\\n' >&2; exit 1");
  EXPECT_EQ(verify().error().detail,
            "cosign: ab\xc3\xa9"
            "c")
      << "what a registry says need not be text";
  EXPECT_EQ(says("kill -9 $$"), "signature_error");
}

TEST_F(CosignTest, S01_COS_007_WithoutTheProgramNothingIsVerified) {
  EXPECT_EQ(code(cosign.verify("/nonexistent/cosign", rule, image, {})), "cosign_missing");
  EXPECT_EQ(code(cosign.verify("no-such-program", rule, image, {})), "cosign_missing");
  std::ofstream(script / "broken") << "not a program";
  ::chmod((script / "broken").c_str(), 0755);
  EXPECT_EQ(code(cosign.verify((script / "broken").string(), rule, image, {})), "cosign_missing");
}

TEST_F(CosignTest, S01_COS_008_TimeAndOutputHaveBounds) {
  EXPECT_EQ(with_time_passing("touch \"$dir/ready\"; exec sleep 1000"), "cosign_timeout");
  std::filesystem::remove(script / "ready");
  EXPECT_EQ(says("head -c 1048577 /dev/zero; exec sleep 1000"), "cosign_output_too_large");
  EXPECT_EQ(says("head -c 600000 /dev/zero | tr '\\0' '\\n' | sed s/^/x/ >&2; head -c 600000 /dev/zero; exit 0"),
            "cosign_output_too_large");
  std::stop_source stop;
  stop.request_stop();
  script.say("exec sleep 1000");
  EXPECT_EQ(code(verify(stop.get_token())), "cosign_timeout") << "a process that ends does not wait";
}

// covers: S01_COS_003
TEST_F(CosignTest, AsksAboutTheIndexFirstThenAboutTheManifest) {
  image.index_digest = kIndex;
  script.say(CosignScript::verified(kManifest), kManifest);
  ASSERT_TRUE(verify());
  EXPECT_EQ(script.calls().size(), 2U);
  EXPECT_EQ(script.calls()[0].back(), "registry.example/app@" + kIndex);
  EXPECT_EQ(script.calls()[1].back(), "registry.example/app@" + kManifest);
  script.say("exit 12", kIndex);
  EXPECT_EQ(code(verify()), "signature_untrusted") << "a wrong signature of the index is not passed over";
  script.say(CosignScript::verified(kIndex), kIndex);
  EXPECT_EQ(code(verify()), "ok");
}

TEST_F(CosignTest, ChecksByKey) {
  rule = {.mode = Mode::key, .public_key = "-----BEGIN PUBLIC KEY-----\n", .require_tlog = true};
  script.say(CosignScript::verified(kManifest));
  ASSERT_TRUE(verify());
  const auto call = script.calls().at(0);
  EXPECT_EQ(call.at(3), "--key");
  EXPECT_FALSE(std::filesystem::exists(call.at(4))) << "the file is gone afterwards";
  EXPECT_EQ(script.file("key"), "-----BEGIN PUBLIC KEY-----\n");
  EXPECT_EQ(call.at(5), "--");
  rule.require_tlog = false;
  ASSERT_TRUE(verify());
  EXPECT_EQ(script.calls().at(1).at(5), "--insecure-ignore-tlog=true");
}

TEST_F(CosignTest, OneSignatureMustFitEveryIdentity) {
  rule.identities = {{.text = "^a.*$", .is_regexp = true}, {.text = "https://exact", .is_regexp = false}};
  script.say("case \"$*\" in *--certificate-identity-regexp*) " + std::string("subject=one;; *) subject=two;; esac\n") +
             "printf '[%s]' '" + CosignScript::element(kManifest, "SUBJECT") + "' | sed s/SUBJECT/$subject/; exit 0");
  EXPECT_EQ(code(verify()), "signature_untrusted") << "each rule is met, by another signature";
  script.say("printf '[%s,%s]' '" + CosignScript::element(kManifest, "one") + "' '" +
             CosignScript::element(kManifest, "two") + "'; exit 0");
  EXPECT_EQ(code(verify()), "ok");
  EXPECT_EQ(script.calls().size(), 4U);
  EXPECT_THAT(script.calls().at(1), ::testing::Contains("--certificate-identity"));
}

TEST_F(CosignTest, S01_COS_009_NothingHostileBecomesAnOption) {
  // What a reference may be is decided by its parser; what follows `--` is one argument, whatever it is.
  image.repository = "registry.example/app --key=x; touch /tmp/x $(id)";
  script.say(CosignScript::verified(kManifest));
  EXPECT_TRUE(verify());
  const auto call = script.calls().at(0);
  EXPECT_EQ(call.at(call.size() - 2), "--");
  EXPECT_EQ(call.back(), image.repository + "@" + kManifest);
  for (const char* text : {"-registry/app", "--key=x", "registry.example/-app", "registry.example/app:-x"})
    EXPECT_FALSE(parse_image_ref(text)) << text;
}

TEST_F(CosignTest, S01_COS_010_NothingThatItStartedGoesOn) {
  EXPECT_EQ(with_time_passing("trap '' TERM; sleep 1000 & echo $! > \"$dir/inner\"; echo $$ > \"$dir/outer\"; "
                              "mv \"$dir/outer\" \"$dir/ready\"; wait; sleep 1000"),
            "cosign_timeout");
  const auto is_gone = [](const std::string& pid) { return ::kill(std::stoi(pid), 0) != 0 && errno == ESRCH; };
  EXPECT_TRUE(is_gone(script.file("ready")));
  while (!is_gone(script.file("inner"))) std::this_thread::yield();  // reaped by init
}

TEST_F(CosignTest, S01_COS_011_TheEnvironmentIsClean) {
  ::setenv("EE_TEST_LEAK", "leaked", 1);
  image.login = Login{.host = "docker.io", .username = "robot", .password = Secret("hunter2")};
  script.say(CosignScript::verified(kManifest));
  ASSERT_TRUE(verify());
  std::vector<std::string> names;
  std::istringstream text(script.file("env"));
  std::string home;
  for (std::string line; std::getline(text, line);) {
    names.push_back(line.substr(0, line.find('=')));
    if (names.back() == "HOME") home = line.substr(5);
    if (names.back() == "PATH") EXPECT_EQ(line, "PATH=/usr/bin:/bin");
  }
  // The shell of the script adds the last two or three.
  EXPECT_THAT(names, ::testing::IsSupersetOf({"HOME", "DOCKER_CONFIG", "PATH", "SSL_CERT_FILE"}));
  for (const std::string& name : names)
    EXPECT_THAT(name,
                ::testing::AnyOf("HOME", "DOCKER_CONFIG", "PATH", "SSL_CERT_FILE", "PWD", "OLDPWD", "SHLVL", "_"));
  EXPECT_FALSE(home.empty());
  EXPECT_FALSE(std::filesystem::exists(home)) << "removed";
  EXPECT_EQ(script.file("docker"), R"({"auths":{"https://index.docker.io/v1/":{"auth":"cm9ib3Q6aHVudGVyMg=="}}})");
}

}  // namespace
}  // namespace ee::cp::cosign
