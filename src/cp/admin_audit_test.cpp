// Every route by which an administrator changes something leaves exactly one row in the audit log.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "cp/http/route.h"
#include "cp/service/attestation_sweeper.h"
#include "tests/support/cloudflare_case.h"
#include "tests/support/test_accounts.h"

namespace ee::testing {
namespace {

class AdminAudit : public CloudflareCase {
 protected:
  struct Act {
    std::string route;  ///< method and pattern, as in the route table
    std::string path;
    std::string body = "";
  };

  AdminAudit() {
    cp.clock.advance(Seconds(200));
    account_ = add_test_account(cp, 1).str();
    cp.execute(
        "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, vcpus, memory_mib, gpu_count, "
        "sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, to_at, charged_to_at, "
        "settled) VALUES (:id, :id, 1, :account, 'a', 1, 1, 0, 'adhoc', 'gcp:z', 1, 1, 0, 0, :at, :at, :at, 2)",
        {{"id", kSegment}, {"account", account_}, {"at", hour()}});
    cp.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :at)", {{"at", hour()}});
    for (const auto& [id, digit] : {std::pair{kObserved, 'c'}, {kOtherObserved, 'd'}})
      cp.execute(
          "INSERT INTO observed_measurements (id, fingerprint, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, node_size, vm_name, "
          "tcb_status, reason_code, count, first_seen_at, last_seen_at) VALUES (:id, :id, :m, :m, :m, :m, :m, 'tiny', "
          "'vm', 'UpToDate', 'mrtd_untrusted', 1, :at, :at)",
          {{"id", id}, {"m", std::string(96, digit)}, {"at", hour()}});
    cp.execute("INSERT INTO meta (key, value) VALUES ('attestation_sweep_held', :held)",
               {{"held", ee::json::write(cp::HeldSweep{})}});
    tunnel_ = add_orphan();
    record_ = add_orphaned_record(tunnel_);
    agent_.emplace(cp, "tdx-agent-001");
    cp.admin("GET", "/api/v1/admin/settings");  // signed in
  }
  UtcTime hour() const { return std::chrono::floor<std::chrono::hours>(cp.clock.now()); }
  std::int64_t rows() {
    return cp.values<std::int64_t>("SELECT (SELECT COUNT(*) FROM audit_log) + (SELECT COUNT(*) FROM attestation_audit)")
        .at(0);
  }
  std::vector<Act> acts();

  static constexpr std::string_view kSegment = "01900000-0000-7000-8000-00000000005e";
  static constexpr std::string_view kObserved = "01900000-0000-7000-8000-0000000000b1";
  static constexpr std::string_view kOtherObserved = "01900000-0000-7000-8000-0000000000b2";
  std::string account_, tunnel_, record_;
  std::optional<RegisteredAgent> agent_;
};

/// One of each, in an order in which all of them succeed.
std::vector<AdminAudit::Act> AdminAudit::acts() {
  const std::string mrtd(96, 'a');
  const std::string trusted = "/api/v1/admin/trusted-mrtds";
  const std::string account = "/api/v1/accounts/" + account_;
  const std::string money = R"({"amount":"1","reason":"r"})";
  return {
      {"PUT /api/v1/admin/settings/{key}", "/api/v1/admin/settings/agents.stale_hours", R"({"value":7})"},
      {"DELETE /api/v1/admin/settings/{key}", "/api/v1/admin/settings/agents.stale_hours"},
      {"POST /api/v1/admin/jobs/{name}/run", "/api/v1/admin/jobs/nonce_cleanup/run"},
      {"POST /api/v1/admin/maintenance", "/api/v1/admin/maintenance", R"({"read_only":false})"},
      {"POST /api/v1/admin/observed-measurements/{id}/trust",
       "/api/v1/admin/observed-measurements/" + std::string(kObserved) + "/trust",
       R"({"kind":"agent","registers":[1]})"},
      {"DELETE /api/v1/admin/observed-measurements/{id}",
       "/api/v1/admin/observed-measurements/" + std::string(kOtherObserved)},
      {"POST /api/v1/admin/attestation/confirm-sweep", "/api/v1/admin/attestation/confirm-sweep"},
      {"POST /api/v1/admin/agents/confirm-loss", "/api/v1/admin/agents/confirm-loss"},
      {"POST /api/v1/admin/trusted-mrtds", trusted, R"({"mrtd":")" + mrtd + R"(","kind":"agent"})"},
      {"PATCH /api/v1/admin/trusted-mrtds/{mrtd}", trusted + "/" + mrtd, R"({"note":"n"})"},
      {"DELETE /api/v1/admin/trusted-mrtds/{mrtd}", trusted + "/" + mrtd},
      {"POST /api/v1/accounts/{account_id}/credit", account + "/credit", money},
      {"POST /api/v1/accounts/{account_id}/adjust", account + "/adjust", money},
      {"POST /api/v1/accounts/{account_id}/payout", account + "/payout", money},
      {"PUT /api/v1/accounts/{account_id}/limits", account + "/limits", R"({"credit_limit":"5","reason":"r"})"},
      {"POST /api/v1/accounts/{account_id}/suspend", account + "/suspend", R"({"reason":"r"})"},
      {"POST /api/v1/accounts/{account_id}/resume", account + "/resume", R"({"reason":"r"})"},
      {"POST /api/v1/admin/billing/resume", "/api/v1/admin/billing/resume", R"({"reason":"r"})"},
      {"POST /api/v1/admin/billing/run", "/api/v1/admin/billing/run"},
      {"POST /api/v1/admin/billing/verify", "/api/v1/admin/billing/verify"},
      {"POST /api/v1/admin/billing/retry", "/api/v1/admin/billing/retry",
       R"({"reason":"r","segment_id":")" + std::string(kSegment) + "\"}"},
      {"DELETE /api/v1/admin/cloudflare/dns/{record_id}", "/api/v1/admin/cloudflare/dns/" + record_},
      {"DELETE /api/v1/admin/cloudflare/tunnels/{tunnel_id}", "/api/v1/admin/cloudflare/tunnels/" + tunnel_},
      {"POST /api/v1/admin/cleanup", "/api/v1/admin/cleanup", "{}"},
      {"POST /api/v1/admin/agents/{agent_id}/cleanup", "/api/v1/admin/agents/" + agent_->id() + "/cleanup",
       R"({"reason":"r"})"},
  };
}

// covers: S05_AUD_01
TEST_F(AdminAudit, S05_AUD_01_EachActOfAnAdministratorLeavesOneRow) {
  // Those that change nothing, or whose one row another test holds to its contents.
  std::map<std::string, std::string> elsewhere = {
      {"POST /api/v1/admin/attestation/verify", "tries a quote without effect"},
      {"PUT /api/v1/admin/billing/rates", "BillingRoutesTest: rates_changed"},
      {"POST /api/v1/admin/trusted-mrtds/{mrtd}/rtmr-profiles", "AttestationAdminTest: trust_profile_added"},
      {"DELETE /api/v1/admin/trusted-mrtds/{mrtd}/rtmr-profiles/{profile_id}", "the same"},
      {"DELETE /api/v1/admin/cleanup/hold", "Backups: reap_hold_lifted, when there was a hold"},
      {"POST /api/v1/admin/cleanup/{id}/cancel", "CleanupTest: cleanup_cancelled"},
      {"POST /api/v1/apps/{name}/versions/{version}/attest", "VersionMeasuring"},
  };
  std::set<std::string> acted;
  for (const Act& act : acts()) {
    const std::string method = act.route.substr(0, act.route.find(' '));
    const std::int64_t before = rows();
    const std::string token = cp.admin_token();
    const std::int64_t signed_in = rows() - before;
    const auto answer =
        cp.call(method, act.path, act.body,
                {{"Authorization", "Bearer " + token}, {"Idempotency-Key", "k" + std::to_string(before)}});
    EXPECT_LT(answer.status, 300) << act.route << ": " << answer.body;
    EXPECT_EQ(rows() - before - signed_in, 1) << act.route;
    acted.insert(act.route);
  }
  for (const cp::Route& route : cp.app().routes()) {
    const std::string name = std::string(route.method) + " " + std::string(route.pattern);
    if (route.access != cp::Access::admin || route.method == "GET") continue;
    EXPECT_TRUE(acted.contains(name) || elsewhere.contains(name)) << name << " is not held to its audit row";
  }
}

}  // namespace
}  // namespace ee::testing
