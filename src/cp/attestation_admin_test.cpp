// What administrators see and try of attestation, and who may see what an agent proved.
#include <gtest/gtest.h>

#include <algorithm>

#include "attestation/event_log.h"
#include "cp/account_fixture.h"
#include "tests/support/event_log_maker.h"
#include "tests/support/registered_agent.h"
#include "tests/support/vectors.h"

namespace ee::testing {
namespace {

using attestation::EmulatedQuoteSpec;

class AttestationAdminTest : public AccountFixture {
 protected:
  static constexpr const char* kObserved = "/api/v1/admin/observed-measurements";
  static constexpr const char* kTrusted = "/api/v1/admin/trusted-mrtds";
  static constexpr const char* kTry = "/api/v1/admin/attestation/verify";

  static EmulatedQuoteSpec with_mrtd(std::uint8_t fill) {
    EmulatedQuoteSpec spec;
    spec.measurements.mrtd.fill(fill);
    return spec;
  }
  static EmulatedQuoteSpec with_rtmrs(const attestation::EventLog& log) {
    EmulatedQuoteSpec spec;
    for (std::size_t i = 0; i < 3; ++i) spec.measurements.rtmrs[i] = log.rtmrs[i];
    return spec;
  }
  static std::string hex_of(std::uint8_t fill) { return to_hex(ByteVector(48, fill)); }
  /// Registers a machine that is refused for its measurements.
  std::string refused(const EmulatedQuoteSpec& spec, const std::string& name = "vm-1") {
    cp.clock.advance(Seconds(1));
    return cp.register_agent(EmulatedAgent(name, cp.random), spec).code();
  }
  boost::json::array items(const std::string& path) { return body_of(cp.admin("GET", path)).at("items").as_array(); }
  /// An RTMR profile with the log of its boot.
  static std::string profile_json(const attestation::EventLog& log) {
    std::string digests;
    for (const attestation::LogEvent& event : log.events)
      if (event.extended) digests += (digests.empty() ? "\"" : ",\"") + to_hex(event.digest) + '"';
    return R"({"name":"recorded","rtmr0":")" + to_hex(log.rtmrs[0]) + R"(","rtmr1":")" + to_hex(log.rtmrs[1]) +
           R"(","rtmr2":")" + to_hex(log.rtmrs[2]) + R"(","event_digests":[)" + digests + "]}";
  }
  static std::string mrtd_json(const std::string& mrtd, const std::string& profile) {
    return R"({"mrtd":")" + mrtd + R"(","kind":"agent","profiles":[)" + profile + "]}";
  }
  /// The step of that name in what a trial answered.
  boost::json::object step(const TestAnswer& answer, std::string_view name) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    for (const auto& step : body_of(answer).at("steps").as_array())
      if (step.at("step").as_string() == name) return step.as_object();
    ADD_FAILURE() << "no step " << name;
    return {};
  }
  std::string outcome(const TestAnswer& answer, std::string_view name) {
    const auto found = step(answer, name);
    const auto& reason = found.at("reason_code");
    return reason.is_null() ? std::string(found.at("result").as_string()) : std::string(reason.as_string());
  }
};

// covers: S01_API_006
TEST_F(AttestationAdminTest, ObservedMeasurementsAreCountedAndTrustedByHand) {
  EXPECT_EQ(refused(with_mrtd(0xab)), "mrtd_untrusted");
  EXPECT_EQ(refused(with_mrtd(0xab), "vm-2"), "mrtd_untrusted");
  EmulatedQuoteSpec other_boot;
  other_boot.measurements.rtmrs[1][0] ^= 1;
  EXPECT_EQ(refused(other_boot), "rtmr_mismatch");
  auto observed = items(kObserved);
  ASSERT_EQ(observed.size(), 2U);
  const auto& seen = observed[1];
  EXPECT_EQ(text(seen, "mrtd"), hex_of(0xab));
  EXPECT_EQ(seen.at("count").as_int64(), 2);
  EXPECT_EQ(text(seen, "vm_name"), "vm-2");
  EXPECT_EQ(text(seen, "reason_code"), "mrtd_untrusted");
  EXPECT_EQ(text(seen, "tcb_status"), "UpToDate");
  EXPECT_EQ(text(seen, "node_size"), "tiny");

  const std::string path = std::string(kObserved) + "/" + text(seen, "id");
  EXPECT_EQ(refused(with_mrtd(0xab)), "mrtd_untrusted") << "looking at it trusts nothing";
  EXPECT_EQ(cp.admin("POST", path + "/trust", R"({"kind":"agent","registers":[]})").status, 400);
  EXPECT_EQ(cp.admin("POST", path + "/trust", R"({"kind":"agent","registers":[4]})").status, 400);
  EXPECT_EQ(cp.call("POST", path + "/trust", R"({"kind":"agent","registers":[1]})").status, 401);
  const TestAnswer trusted =
      cp.admin("POST", path + "/trust", R"({"kind":"agent","note":"lab","node_size":"tiny","registers":[0,1,2]})");
  ASSERT_EQ(trusted.status, 201) << trusted.body;
  const auto entry = body_of(trusted);
  EXPECT_EQ(text(entry, "mrtd"), hex_of(0xab));
  const auto& profile = entry.at("profiles").as_array().at(0);
  EXPECT_EQ(text(profile, "node_size"), "tiny");
  EXPECT_TRUE(profile.at("rtmr3").is_null());
  EXPECT_EQ(cp.register_agent(EmulatedAgent("vm-3", cp.random), with_mrtd(0xab)).status, 201);
  EXPECT_EQ(items(kObserved).size(), 1U) << "the observation is over";
  EXPECT_EQ(cp.admin("POST", path + "/trust", R"({"kind":"agent","registers":[1]})").code(), "mrtd_not_found");

  const std::string last = std::string(kObserved) + "/" + text(items(kObserved)[0], "id");
  EXPECT_EQ(cp.admin("DELETE", last).status, 204);
  EXPECT_EQ(cp.admin("DELETE", last).code(), "mrtd_not_found");
  EXPECT_TRUE(items(kObserved).empty());
}

TEST_F(AttestationAdminTest, AnObservedBootOfATrustedMrtdBecomesAProfile) {
  EmulatedQuoteSpec other_boot;
  other_boot.measurements.rtmrs[1][0] ^= 1;
  const std::string mrtd = to_hex(other_boot.measurements.mrtd);
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(mrtd, "")).status, 201);
  EXPECT_EQ(refused(other_boot), "rtmr_mismatch");
  const std::string id = text(items(kObserved).at(0), "id");
  const TestAnswer trusted =
      cp.admin("POST", std::string(kObserved) + "/" + id + "/trust", R"({"kind":"agent","registers":[1]})");
  ASSERT_EQ(trusted.status, 201) << trusted.body;
  EXPECT_EQ(refused(other_boot), "");
}

TEST_F(AttestationAdminTest, WhatNobodyVerifiedIsNotObserved) {
  EmulatedQuoteSpec forged = with_mrtd(0xab);
  forged.fault = attestation::QuoteFault::broken_signature;
  EXPECT_EQ(refused(forged), "quote_signature_invalid");
  EmulatedQuoteSpec old = with_mrtd(0xac);
  old.td_attributes |= attestation::kTdDebug;
  EXPECT_EQ(refused(old), "td_debug_enabled");
  EXPECT_TRUE(items(kObserved).empty());
}

TEST_F(AttestationAdminTest, DecisionsAreFoundByEachFilter) {
  const RegisteredAgent agent(cp, "vm-1");
  EXPECT_EQ(refused(with_mrtd(0xab), "vm-2"), "mrtd_untrusted");
  cp.clock.advance(Seconds(1));
  const std::string later = to_rfc3339(cp.clock.now());
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(hex_of(0xab), "")).status, 201);
  const std::string path = "/api/v1/admin/attestation/audit";
  const auto events = [&](const std::string& query) {
    std::string out;
    for (const auto& item : items(path + query)) out += (out.empty() ? "" : " ") + text(item, "event");
    return out;
  };
  const std::string added = "trust_entry_added", rejected = "registration_attestation_rejected",
                    accepted = "registration_attestation_accepted";
  EXPECT_EQ(events(""), added + " " + rejected + " " + accepted);
  EXPECT_EQ(events("?agent_id=" + agent.id()), accepted);
  EXPECT_EQ(events("?vm_name=vm-2"), rejected);
  EXPECT_EQ(events("?result=info"), added);
  EXPECT_EQ(events("?reason_code=mrtd_untrusted"), rejected);
  EXPECT_EQ(events("?mrtd=" + hex_of(0xab)), added + " " + rejected);
  EXPECT_EQ(events("?from=" + later), added);
  EXPECT_EQ(events("?to=" + later), rejected + " " + accepted);
  EXPECT_EQ(events("?mrtd=" + hex_of(0xab) + "&result=rejected"), rejected);
  const auto first = body_of(cp.admin("GET", path + "?limit=2"));
  EXPECT_EQ(first.at("items").as_array().size(), 2U);
  EXPECT_EQ(events("?limit=2&cursor=" + text(first, "next_cursor")), accepted);
  for (const char* wrong : {"?result=maybe", "?from=yesterday", "?cursor=x", "?limit=0", "?nonce=1"})
    EXPECT_EQ(cp.admin("GET", path + wrong).status, 400) << wrong;
  const auto decision = items(path + "?vm_name=vm-1")[0];
  EXPECT_EQ(text(decision.at("policy"), "verifier_mode"), "dcap");
  EXPECT_EQ(decision.at("warnings").as_array().size(), 1U);
}

TEST_F(AttestationAdminTest, TheStatusNamesVerifiersKeysCollateralAndErrors) {
  const std::string path = "/api/v1/admin/attestation/status";
  auto status = body_of(cp.admin("GET", path));
  EXPECT_EQ(text(status, "verifier_mode"), "dcap");
  EXPECT_TRUE(status.at("jwks").at("age_seconds").is_null());
  EXPECT_TRUE(status.at("policy_error").is_null());
  EXPECT_TRUE(status.at("last_errors").as_object().empty());
  EXPECT_FALSE(status.at("own_quote_at").is_null());

  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/attestation.verifier_mode", R"({"value":"ita"})").status, 200);
  status = body_of(cp.admin("GET", path));
  EXPECT_EQ(text(status, "policy_error"), "policy_invalid");
  EXPECT_TRUE(status.at("verifier_mode").is_null());
  cp.clock.set_auto_advance(true);
  EXPECT_FALSE(cp.app().run_job("jwks_refresh"));
  status = body_of(cp.admin("GET", path));
  EXPECT_EQ(text(status.at("last_errors").at("jwks"), "code"), "verifier_unavailable");
}

TEST_F(AttestationAdminTest, ADryRunSaysWhichAgentsWouldFail) {
  const auto boot = to_hex(EmulatedQuoteSpec().measurements.rtmrs[1]);
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(hex_of(0xab), R"({"name":"p","rtmr1":")" + boot + "\"}")).status, 201);
  const RegisteredAgent first(cp, "vm-1", with_mrtd(0xab));
  const RegisteredAgent second(cp, "vm-2", with_mrtd(0xab));
  const RegisteredAgent other(cp, "vm-3");
  const std::string path = std::string(kTrusted) + "/" + hex_of(0xab);
  const auto expect_both = [&](const TestAnswer& answer) {
    ASSERT_EQ(answer.status, 200) << answer.body;
    const auto preview = body_of(answer);
    EXPECT_EQ(preview.at("affected_agents").as_int64(), 2);
    ASSERT_EQ(preview.at("agents").as_array().size(), 2U);
    EXPECT_EQ(text(preview.at("agents").as_array()[0], "reason_code"), "mrtd_untrusted");
  };
  expect_both(cp.admin("DELETE", path + "?dry_run=true"));
  expect_both(cp.admin("PATCH", path + "?dry_run=true", R"({"enabled":false})"));
  expect_both(cp.admin("PATCH", path + "?dry_run=true", R"({"expires_at":"2020-01-01T00:00:00Z"})"));
  const TestAnswer note = cp.admin("PATCH", path + "?dry_run=true", R"({"note":"other"})");
  EXPECT_EQ(body_of(note).at("affected_agents").as_int64(), 0);
  // Nothing was done.
  EXPECT_EQ(body_of(cp.admin("GET", path)).at("version").as_int64(), 1);
  EXPECT_EQ(cp.app().run_job("attestation_sweeper")->value("quarantined"), 0);
  EXPECT_EQ(cp.admin("DELETE", std::string(kTrusted) + "/" + hex_of(0x01) + "?dry_run=true").code(), "mrtd_not_found");
  const std::string environment = to_hex(EmulatedQuoteSpec().measurements.mrtd);
  EXPECT_EQ(cp.admin("DELETE", std::string(kTrusted) + "/" + environment + "?dry_run=true").code(),
            "mrtd_from_environment");
  EXPECT_EQ(cp.admin("DELETE", path + "?dry_run=maybe").status, 400);
}

TEST_F(AttestationAdminTest, AQuoteIsTriedStepByStepWithoutEffect) {
  const EmulatedAgent agent("vm-1", cp.random);
  const auto quote = [&](const EmulatedQuoteSpec& spec) {
    return agent.evidence(attestation::Purpose::register_, {}, TestControlPlane::kOrigin, spec).quote_base64;
  };
  const auto tried = [&](const EmulatedQuoteSpec& spec) {
    return cp.admin("POST", kTry, R"({"quote":")" + quote(spec) + R"(","node_size":"tiny"})");
  };
  TestAnswer answer = tried({});
  EXPECT_TRUE(body_of(answer).at("accepted").as_bool()) << answer.body;
  for (const char* name : {"quote", "td_attributes", "dcap", "mrtd", "tcb", "rtmr", "event_log"})
    EXPECT_EQ(outcome(answer, name), "passed") << name;

  // Each fault is named by its step, all of them at once.
  EmulatedQuoteSpec bad = with_mrtd(0xab);
  bad.td_attributes |= attestation::kTdDebug;
  bad.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  answer = tried(bad);
  EXPECT_FALSE(body_of(answer).at("accepted").as_bool());
  EXPECT_EQ(outcome(answer, "quote"), "passed");
  EXPECT_EQ(outcome(answer, "td_attributes"), "td_debug_enabled");
  EXPECT_EQ(outcome(answer, "dcap"), "passed");
  EXPECT_EQ(outcome(answer, "mrtd"), "mrtd_untrusted");
  EXPECT_EQ(outcome(answer, "tcb"), "tcb_not_acceptable");
  EXPECT_EQ(outcome(answer, "rtmr"), "rtmr_no_baseline");

  EmulatedQuoteSpec forged;
  forged.fault = attestation::QuoteFault::broken_signature;
  answer = tried(forged);
  EXPECT_EQ(outcome(answer, "dcap"), "quote_signature_invalid");
  EXPECT_EQ(outcome(answer, "tcb"), "skipped") << "nothing vouches for a TCB status";
  answer = cp.admin("POST", kTry, R"({"quote":"AAAA"})");
  EXPECT_EQ(outcome(answer, "quote"), "quote_malformed");
  EXPECT_EQ(outcome(answer, "dcap"), "skipped");
  answer = cp.admin("POST", kTry, R"({"quote":")" + quote({}) + R"(","event_log":"AQID"})");
  EXPECT_EQ(outcome(answer, "event_log"), "event_log_malformed");

  EXPECT_EQ(cp.admin("POST", kTry, R"({"quote":"AAAA","nonce":"x"})").status, 400);
  EXPECT_EQ(cp.agents(), 0);
  for (const char* table : {"attestation_nonces", "attestation_audit", "observed_measurements", "agent_evidence"})
    EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM " + std::string(table)).front(), 0) << table;
}

// covers: S01_ELOG_006
TEST_F(AttestationAdminTest, ABootThatChangedIsNamedInTheAudit) {
  EventLogMaker trusted_boot, changed_boot;
  trusted_boot.event(1, 0x80000001, "db").event(2, 0x80000003, "kernel-6.16.img").event(3, 13, "quiet");
  changed_boot.event(1, 0x80000001, "db").event(2, 0x80000003, "kernel-evil.img").event(3, 13, "quiet");
  const auto good = attestation::replay_ccel(trusted_boot.log()).value();
  const auto evil = attestation::replay_ccel(changed_boot.log()).value();
  const std::string mrtd = to_hex(EmulatedQuoteSpec().measurements.mrtd);
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(mrtd, profile_json(good))).status, 201);

  const EmulatedAgent agent("vm-1", cp.random);
  const auto send = [&](const EmulatedQuoteSpec& spec, const ByteVector& log) {
    auto registration = cp.prepare(agent, spec);
    registration.request.evidence.event_log = to_base64(log);
    return cp.send(agent, registration);
  };
  const auto details = [&](const char* reason) {
    const auto found = cp.values<std::string>("SELECT details FROM attestation_audit WHERE reason_code=:reason",
                                              {{"reason", std::string(reason)}});
    return found.empty() ? boost::json::value() : boost::json::parse(found.back());
  };
  const TestAnswer mismatch = send(with_rtmrs(evil), changed_boot.log());
  EXPECT_EQ(mismatch.code(), "rtmr_mismatch");
  EXPECT_EQ(mismatch.body.find("evil"), std::string::npos) << "the sender is told no values";
  const auto row = details("rtmr_mismatch");
  EXPECT_EQ(text(row, "rtmr_profile"), "recorded");
  const auto& events = row.at("changed_events").as_array();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(text(events[0], "text"), "kernel-evil.img");
  EXPECT_EQ(text(events[0], "digest"), to_hex(evil.events.at(1).digest));
  EXPECT_EQ(events[0].at("rtmr").as_int64(), 1);

  // A log that does not lead to its quote names its odd event too.
  EXPECT_EQ(send(with_rtmrs(good), changed_boot.log()).code(), "event_log_mismatch");
  EXPECT_EQ(text(details("event_log_mismatch").at("changed_events").as_array().at(0), "text"), "kernel-evil.img");
  EXPECT_EQ(text(details("event_log_mismatch"), "register"), "RTMR1");
  EXPECT_EQ(send(with_rtmrs(good), trusted_boot.log()).status, 201);
}

TEST_F(AttestationAdminTest, AtMostFiveChangedEventsAreKept) {
  EventLogMaker trusted_boot, changed_boot;
  trusted_boot.event(1, 1, "a");
  changed_boot.event(1, 1, "a");
  for (int i = 0; i < 9; ++i) changed_boot.event(2, 13, "new " + std::to_string(i));
  const auto good = attestation::replay_ccel(trusted_boot.log()).value();
  const auto evil = attestation::replay_ccel(changed_boot.log()).value();
  const std::string mrtd = to_hex(EmulatedQuoteSpec().measurements.mrtd);
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(mrtd, profile_json(good))).status, 201);
  const EmulatedAgent agent("vm-1", cp.random);
  auto registration = cp.prepare(agent, with_rtmrs(evil));
  registration.request.evidence.event_log = to_base64(changed_boot.log());
  EXPECT_EQ(cp.send(agent, registration).code(), "rtmr_mismatch");
  const auto details = boost::json::parse(
      cp.values<std::string>("SELECT details FROM attestation_audit WHERE reason_code='rtmr_mismatch'").front());
  ASSERT_EQ(details.at("changed_events").as_array().size(), 5U);
  EXPECT_EQ(text(details.at("changed_events").as_array()[4], "text"), "new 4");
}

// covers: S01_ELOG_001, S01_ELOG_006
TEST_F(AttestationAdminTest, TheRecordedLogOfARealMachineIsTried) {
  EE_NEED_VECTORS();
  cp.clock.set_auto_advance(true);  // Intel's collateral is asked for, in vain: waits between tries cost no time
  const ByteVector quote = read_vector("go-tdx-guest/cos-113-tdx-quote.dat");
  ByteVector log = read_vector("go-tdx-guest/ccel_data.dat");
  const auto recorded = attestation::replay_ccel(log).value();
  log.resize(recorded.size);
  const auto mrtd = to_hex(attestation::parse_quote(quote, attestation::TrailingPolicy::zeros).value().mrtd());
  ASSERT_EQ(cp.admin("POST", kTrusted, mrtd_json(mrtd, profile_json(recorded))).status, 201);
  const auto tried = [&](const ByteVector& sent) {
    return cp.admin("POST", kTry, R"({"quote":")" + to_base64(quote) + R"(","event_log":")" + to_base64(sent) + "\"}");
  };
  TestAnswer answer = tried(log);
  EXPECT_EQ(outcome(answer, "rtmr"), "passed");
  EXPECT_EQ(outcome(answer, "event_log"), "passed");
  EXPECT_TRUE(step(answer, "event_log").at("details").is_null());

  const attestation::LogEvent& event = recorded.events.at(20);
  ASSERT_TRUE(event.extended);
  const auto at = std::ranges::search(log, event.digest).begin();
  ASSERT_NE(at, log.end());
  *at ^= 1;
  answer = tried(log);
  EXPECT_EQ(outcome(answer, "event_log"), "event_log_mismatch");
  const auto details = step(answer, "event_log").at("details");
  EXPECT_EQ(text(details, "register"), "RTMR" + std::to_string(event.register_));
  const auto& changed = details.at("changed_events").as_array();
  ASSERT_EQ(changed.size(), 1U);
  attestation::Measurement digest = event.digest;
  digest[0] ^= 1;
  EXPECT_EQ(text(changed[0], "digest"), to_hex(digest));
  EXPECT_EQ(changed[0].at("type").as_int64(), event.type);
}

// covers: S01_API_005
TEST_F(AttestationAdminTest, AnAgentsEvidenceIsForItsOwnerAndAdministrators) {
  const RegisteredAgent agent(cp, "vm-1");
  const Made owner = make("owner", "agent");
  const Made stranger = make("stranger");
  const std::string path = agent.path("/attestation");
  cp.execute("UPDATE agents SET account_id=:account WHERE id=:id", {{"account", owner.id}, {"id", agent.id()}});

  EXPECT_EQ(cp.call("GET", path).status, 401);
  EXPECT_EQ(as(stranger.key, "GET", path).code(), "agent_not_found");
  EXPECT_EQ(as(stranger.key, "GET", path).status, 404);
  EXPECT_NE(cp.call("GET", path, "", agent.bearer()).status, 200) << "agents have no such route";
  const TestAnswer shown = as(owner.key, "GET", path);
  ASSERT_EQ(shown.status, 200) << shown.body;
  EXPECT_EQ(cp.admin("GET", path).body, shown.body);
  EXPECT_EQ(cp.admin("GET", "/api/v1/agents/0190a000-0000-7000-8000-000000000009/attestation").code(),
            "agent_not_found");

  // Enough for a third party: quote, preimage, and what the policy was.
  const auto view = body_of(shown);
  const auto quote = attestation::parse_quote_base64(text(view, "quote"), attestation::TrailingPolicy::zeros).value();
  const auto preimage = from_base64(text(view, "preimage")).value();
  EXPECT_EQ(to_hex(quote.report_data()), to_hex(sha512(preimage)));
  EXPECT_EQ(text(view, "quote_sha256"), to_hex(sha256(quote.bytes())));
  EXPECT_EQ(text(view, "mrtd"), to_hex(quote.mrtd()));
  EXPECT_EQ(text(view, "signing_key"), to_base64(agent.agent().signing_key().public_key()));
  EXPECT_TRUE(view.at("fresh").as_bool());
  EXPECT_EQ(text(view, "reason_code"), "ok");
  EXPECT_EQ(text(view, "evidence_kind"), "emulated");
  EXPECT_EQ(text(view.at("policy"), "rtmr_mode"), "strict");
  EXPECT_EQ(text(view, "audit_id"), cp.values<std::string>("SELECT audit_id FROM agent_evidence").front());

  cp.clock.advance(Seconds(5000));
  EXPECT_FALSE(body_of(cp.admin("GET", path)).at("fresh").as_bool()) << "its evidence is due";
}

}  // namespace
}  // namespace ee::testing
