// The queue of versions to measure: leases, failures, external measurers (03 section 7.3).
#include <gmock/gmock.h>

#include <thread>

#include "common/bytes.h"
#include "common/crypto.h"

#include "cp/catalogue_fixture.h"

namespace ee::testing {
namespace {

using standins::Registry;
using ::testing::HasSubstr;

class VersionMeasuringTest : public CatalogueFixture {
 protected:
  VersionMeasuringTest() { EXPECT_EQ(create(owner.key, "shop").status, 201); }

  std::int64_t attempts() { return cp.values<std::int64_t>("SELECT attempts FROM app_versions").front(); }
  Milliseconds wait() {
    return Milliseconds(cp.values<std::int64_t>("SELECT next_attempt_at FROM app_versions").front() -
                        unix_ms(cp.clock.now()));
  }
};

TEST_F(VersionMeasuringTest, S03_MEA_001_ACrashWhileMeasuringCostsOneLease) {
  ASSERT_EQ(publish().status, 202);
  // The process ends after the lease was taken: that is what is left.
  cp.execute(
      "UPDATE app_versions SET status='measuring', attempts=1, lease_seq=1, lease_owner='dead', lease_expires_at=:at",
      {{"at", cp.clock.now() + Seconds(300)}});
  cp.stop();
  cp.start();
  EXPECT_EQ(measure(), 0);
  EXPECT_EQ(reap(), 0);
  cp.clock.advance(Seconds(301));
  EXPECT_EQ(reap(), 1);
  EXPECT_EQ(status(), "pending");
  EXPECT_EQ(measure(), 0) << "not at once";
  cp.clock.advance(Seconds(40));
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status(), "attested");
  EXPECT_EQ(attempts(), 2);
  EXPECT_EQ(audited("version_attested"), 1);
}

TEST_F(VersionMeasuringTest, S03_MEA_002_WhoLostTheLeaseWritesNothing) {
  ASSERT_EQ(publish().status, 202);
  before_answer = [this] {
    before_answer = nullptr;
    cp.execute("UPDATE app_versions SET lease_seq=lease_seq+1, lease_owner='another', status='measuring'");
  };
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status(), "measuring");
  EXPECT_EQ(cp.values<std::string>("SELECT lease_owner FROM app_versions").front(), "another");
  EXPECT_EQ(audited("version_attested"), 0);
  EXPECT_EQ(audited("signature_policy_decision"), 0);
}

TEST_F(VersionMeasuringTest, S03_MEA_003_WhatMayPassIsTriedAgainLaterAndLater) {
  ASSERT_EQ(publish().status, 202);
  registry_away = true;
  const UtcTime before = cp.clock.now();
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status(), "pending");
  // The clock moves by itself while others sleep: from the start of the attempt it is at least so long.
  EXPECT_GE(cp.clock.now() + wait() - before, Seconds(24));
  EXPECT_LE(wait(), Seconds(36));
  EXPECT_EQ(measure(), 0);
  cp.clock.advance(Seconds(36));
  registry_away = false;
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status(), "attested");

  registry_away = true;
  ASSERT_EQ(publish("2.0").status, 202);
  for (int attempt = 1; attempt <= 8; ++attempt) {
    EXPECT_EQ(measure(), 1) << attempt;
    if (attempt < 8) EXPECT_EQ(status("2.0"), "pending") << attempt;
    cp.clock.advance(Seconds(4400));
  }
  EXPECT_EQ(status("2.0") + " " + rejection("2.0"), "rejected measurement_unavailable");
  EXPECT_THAT(text(version("2.0").at("rejection"), "detail"), HasSubstr("registry_unavailable"));
  EXPECT_EQ(measure(), 0);
  registry_away = false;
  EXPECT_EQ(change("remeasure", "{}", "2.0").status, 200);
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(status("2.0"), "attested");
  EXPECT_EQ(audited("version_remeasured"), 1);

  ASSERT_EQ(publish("3.0", compose("registry.test/app/web:9.9")).status, 202);
  EXPECT_EQ(measure(), 1);
  EXPECT_EQ(change("remeasure", "{}", "3.0").code(), "invalid_version_transition") << "will not be better";
}

TEST_F(VersionMeasuringTest, S03_MEA_004_EachVersionIsMeasuredOnce) {
  for (int app = 0; app < 5; ++app) {
    const std::string name = "many-" + std::to_string(app);
    ASSERT_EQ(create(owner.key, name).status, 201);
    for (int number = 0; number < 20; ++number)
      ASSERT_EQ(
          as(owner.key, "POST", "/api/v1/apps/" + name + "/versions", publish_body(std::to_string(number), compose()))
              .status,
          202);
  }
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < 4; ++i) workers.emplace_back([this] { EXPECT_TRUE(cp.app().run_job("measurement_worker")); });
  }
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM app_versions WHERE status='attested' AND attempts=1 AND"
                                    " lease_seq=1")
                .front(),
            100);
  EXPECT_EQ(audited("version_attested"), 100);
}

/// A measurer elsewhere.
class ExternalMeasuringTest : public CatalogueFixture {
 protected:
  ExternalMeasuringTest() {
    EXPECT_EQ(create(owner.key, "shop").status, 201);
    set("measure.url", json::quote(std::string(kMeasurer) + "/"));
    set("measure.mode", R"("external")");
    digest = Registry::digest_of(Registry::manifest_text("web one"));
  }
  /// What the measurer was given last.
  boost::json::value task() { return boost::json::parse(handed_out.back()); }
  boost::json::value report() {
    const auto given = task();
    boost::json::object image = {{"original", "whatever"},
                                 {"pinned", "registry.test/app/web@" + digest},
                                 {"digest", digest},
                                 {"index_digest", nullptr},
                                 {"platform", "linux/amd64"},
                                 {"signature",
                                  {{"verified", true},
                                   {"signed_by", "https://someone"},
                                   {"issuer", "https://token.actions.githubusercontent.com"},
                                   {"log_index", 7},
                                   {"error", nullptr}}},
                                 {"warnings", boost::json::array()}};
    return {{"version_id", given.at("version_id")},
            {"lease_seq", given.at("lease_seq")},
            {"status", "success"},
            {"measurement",
             {{"measurement_type", "theirs"},
              {"measured_at", "2026-01-01T00:00:00.000Z"},
              {"compose_sha256", sha256_of(compose())},
              {"compose_hash", "lies"},
              {"workload_hash", "lies"},
              {"pinned_compose", "lies"},
              {"images", {{"web", std::move(image)}}}}}};
  }
  static std::string sha256_of(const std::string& text) { return to_hex(sha256(bytes_of(text))); }
  TestAnswer send(const boost::json::value& body, const std::string& token) {
    return cp.call(
        "POST", "/api/v1/internal/measurement-callback", boost::json::serialize(body),
        token.empty() ? std::vector<HttpHeader>() : std::vector<HttpHeader>{{"Authorization", "Bearer " + token}},
        "203.0.113.7");
  }
  std::string token() { return text(task(), "callback_token"); }
  void hand_out(const std::string& number = "1.0") {
    ASSERT_EQ(publish(number).status, 202);
    ASSERT_EQ(measure(), 1);
    ASSERT_FALSE(handed_out.empty());
    ASSERT_EQ(status(number), "measuring");
  }

  std::string digest;
};

TEST_F(ExternalMeasuringTest, AVersionIsHandedOutAndItsReportAttestsIt) {
  hand_out();
  const auto given = task();
  EXPECT_EQ(text(given, "compose"), compose());
  EXPECT_EQ(text(given, "platform"), "linux/amd64");
  EXPECT_EQ(text(given, "callback_url"), "https://cp.example.com/api/v1/internal/measurement-callback");
  EXPECT_EQ(text(given.at("policy"), "signature_mode"), "warn");
  EXPECT_THAT(token(), ::testing::StartsWith("ee_meas_"));
  const TestAnswer done = send(report(), token());
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(text(body_of(done), "status"), "attested");
  const auto attested = version();
  EXPECT_EQ(text(attested.at("images").at("web"), "digest"), digest);
  EXPECT_EQ(text(attested.at("images").at("web"), "reference"), "registry.test/app/web:1.0");
  EXPECT_EQ(text(attested, "compose_hash").size(), 64U) << "computed here, whatever was reported";
  EXPECT_NE(text(attested.at("measurement"), "pinned_compose"), "lies");
  EXPECT_EQ(registry.count("/v2/app/web/manifests/1.0"), 1U) << "one look of our own";
}

TEST_F(ExternalMeasuringTest, S03_MEA_005_AReportNeedsItsOwnToken) {
  hand_out();
  const auto first_report = report();
  const std::string first = token();
  EXPECT_EQ(send(first_report, "").code(), "callback_unauthorized");
  EXPECT_EQ(send(first_report, "").status, 401);
  EXPECT_EQ(send(first_report, owner.key).code(), "callback_unauthorized");
  EXPECT_EQ(send(first_report, first + "x").code(), "callback_unauthorized");
  std::string later = first;
  later[8] = later[8] == '9' ? '8' : '9';  // another end of the lease
  EXPECT_EQ(send(first_report, later).code(), "callback_unauthorized");
  hand_out("2.0");
  EXPECT_EQ(send(first_report, token()).code(), "callback_unauthorized") << "of another version";
  EXPECT_EQ(status(), "measuring");

  EXPECT_EQ(send(first_report, first).status, 200);
  EXPECT_EQ(status(), "attested");
  const TestAnswer again = send(first_report, first);
  EXPECT_EQ(again.status, 200) << "the same again";
  EXPECT_EQ(text(body_of(again), "status"), "attested");
  auto other = first_report;
  other.at("measurement").at("measured_at") = "2026-01-01T00:00:01.000Z";
  EXPECT_EQ(send(other, first).code(), "measurement_superseded") << "something else";

  const auto second_report = report();
  const std::string second = token();
  cp.execute("UPDATE app_versions SET lease_seq=lease_seq+1 WHERE version='2.0'");
  EXPECT_EQ(send(second_report, second).code(), "measurement_superseded");
  cp.clock.advance(Seconds(301));
  EXPECT_EQ(send(second_report, second).code(), "callback_unauthorized") << "over";
  EXPECT_EQ(audited("version_attested"), 1);

  const auto refused = [&](const std::string& where) {
    return cp
        .values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action='measurement_callback_refused' AND " + where)
        .front();
  };
  EXPECT_GE(refused("reason_code='callback_unauthorized' AND object_id IS NULL"), 2) << "before and after five minutes";
  EXPECT_LT(refused("reason_code='callback_unauthorized'"), 6) << "equal ones are folded";
  EXPECT_EQ(refused("reason_code='callback_unauthorized' AND object_id IS NOT NULL"), 0) << "nobody knows whose it is";
  EXPECT_GE(refused("reason_code='measurement_superseded' AND object_id IS NOT NULL"), 1);
}

TEST_F(ExternalMeasuringTest, WhatIsKeptOfALongDetailIsStillText) {
  hand_out();
  auto body = report();
  body.as_object().erase("measurement");
  body.at("status") = "failed";
  body.as_object()["error"] = {{"code", "image_not_found"}, {"detail", std::string(299, 'a') + "\xc3\xa9"}};
  EXPECT_EQ(send(body, token()).status, 200);
  EXPECT_EQ(rejection(), "image_not_found");
  EXPECT_EQ(cp.values<std::string>("SELECT rejection_detail FROM app_versions").front(), std::string(299, 'a'));
}

TEST_F(ExternalMeasuringTest, S03_MEA_006_AReportMustFitItsVersion) {
  int number = 0;
  const auto outcome = [&](const std::function<void(boost::json::object&)>& spoil,
                           const std::string& text = compose()) {
    const std::string name = std::to_string(++number);
    EXPECT_EQ(publish(name, text).status, 202);
    EXPECT_EQ(measure(), 1);
    auto body = report();
    body.at("measurement").at("compose_sha256") = sha256_of(text);
    spoil(body.at("measurement").as_object());
    const TestAnswer answer = send(body, token());
    cp.execute("UPDATE app_versions SET next_attempt_at=9000000000000 WHERE status='pending'");
    return std::to_string(answer.status) + " " + answer.code() + " " + status(name);
  };
  const std::string refused = "422 measurement_inconsistent pending";
  EXPECT_EQ(outcome([](auto&) {}), "200  attested");
  EXPECT_EQ(outcome([](auto& m) { m["compose_sha256"] = std::string(64, 'a'); }), refused);
  EXPECT_EQ(outcome([](auto& m) { m["images"] = boost::json::object(); }), refused);
  EXPECT_EQ(outcome([](auto& m) { m["images"].as_object()["extra"] = m["images"].at("web"); }), refused);
  EXPECT_EQ(outcome([](auto& m) { m["images"].at("web").as_object()["digest"] = "sha256:1"; }), refused);
  EXPECT_EQ(outcome([](auto& m) { m["images"].at("web").as_object()["pinned"] = "registry.test/app/web:1.0"; }),
            refused);
  EXPECT_EQ(outcome([&](auto& m) { m["images"].at("web").as_object()["pinned"] = "registry.test/other@" + digest; }),
            refused);
  EXPECT_EQ(outcome([](auto& m) { m["images"].at("web").as_object()["platform"] = "linux/arm64"; }), refused);
  const std::string pinned = compose("registry.test/app/web@" + digest);
  EXPECT_EQ(outcome([](auto&) {}, pinned), "200  attested");
  const std::string evil = "sha256:" + std::string(64, 'e');
  EXPECT_EQ(outcome(
                [&](auto& m) {
                  m["images"].at("web").as_object()["digest"] = evil;
                  m["images"].at("web").as_object()["pinned"] = "registry.test/app/web@" + evil;
                },
                pinned),
            refused);
}

TEST_F(ExternalMeasuringTest, S03_MEA_007_AMeasurerThatSaysOtherwiseIsNotBelieved) {
  hand_out();
  const auto honest = report();
  auto body = honest;
  const std::string evil = "sha256:" + std::string(64, 'e');
  body.at("measurement").at("images").at("web").as_object()["digest"] = evil;
  body.at("measurement").at("images").at("web").as_object()["pinned"] = "registry.test/app/web@" + evil;
  const TestAnswer done = send(body, token());
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(status() + " " + rejection(), "rejected digest_mismatch");
  EXPECT_EQ(audited("measurer_disagrees"), 1);

  hand_out("2.0");
  const auto second = report();
  registry_away = true;  // it cannot be asked: nothing is believed yet
  EXPECT_EQ(text(body_of(send(second, token())), "status"), "pending");
  EXPECT_EQ(status("2.0"), "pending");
}

TEST_F(ExternalMeasuringTest, TheSignaturePolicyIsAppliedHere) {
  set("attestation.signature_mode", R"("strict")");
  hand_out();
  auto body = report();
  body.at("measurement").at("images").at("web").at("signature") = {{"verified", false},
                                                                   {"signed_by", nullptr},
                                                                   {"issuer", nullptr},
                                                                   {"log_index", nullptr},
                                                                   {"error", "signature_missing"}};
  const TestAnswer done = send(body, token());
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(status() + " " + rejection(), "rejected signature_missing");
}

TEST_F(ExternalMeasuringTest, ASignatureThatIsNotThePolicysIsNone) {
  set("attestation.signature_mode", R"("strict")");
  int number = 0;
  const auto outcome = [&](const boost::json::value& issuer) {
    const std::string name = std::to_string(++number);
    hand_out(name);
    auto body = report();
    body.at("measurement").at("images").at("web").at("signature").as_object()["issuer"] = issuer;
    EXPECT_EQ(send(body, token()).status, 200);
    return status(name) + " " + rejection(name);
  };
  const boost::json::value good = "https://token.actions.githubusercontent.com";
  EXPECT_EQ(outcome(good), "attested ");
  EXPECT_EQ(outcome("https://issuer"), "rejected signature_untrusted");
  EXPECT_EQ(outcome(nullptr), "rejected signature_untrusted");
  set("cosign.identity", R"("https://someone")");
  EXPECT_EQ(outcome(good), "attested ");
  set("cosign.identity", R"("https://another")");
  EXPECT_EQ(outcome(good), "rejected signature_untrusted");
}

TEST_F(ExternalMeasuringTest, FailuresAndSilenceAreTriedAgainOrReject) {
  hand_out();
  const auto failed = [&](const char* code) {
    return boost::json::value{{"version_id", task().at("version_id")},
                              {"lease_seq", task().at("lease_seq")},
                              {"status", "failed"},
                              {"error", {{"code", code}, {"detail", "d"}}}};
  };
  EXPECT_EQ(send(failed("registry_unavailable"), token()).status, 200);
  EXPECT_EQ(status(), "pending");
  cp.clock.advance(Seconds(40));
  ASSERT_EQ(measure(), 1);
  EXPECT_EQ(send(failed("made_up"), token()).code(), "measurement_inconsistent");
  cp.clock.advance(Seconds(80));
  ASSERT_EQ(measure(), 1);
  EXPECT_EQ(send(failed("image_not_found"), token()).status, 200);
  EXPECT_EQ(status() + " " + rejection(), "rejected image_not_found");

  hand_out("2.0");  // and then never a word
  cp.clock.advance(Seconds(301));
  EXPECT_EQ(reap(), 1);
  EXPECT_EQ(status("2.0"), "pending");
  cp.clock.advance(Seconds(40));
  measurer_status = 500;
  ASSERT_EQ(measure(), 1);
  EXPECT_EQ(status("2.0"), "pending") << "not taken";
}

}  // namespace
}  // namespace ee::testing
