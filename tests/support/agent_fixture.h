#pragma once
#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/service/agent_service.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {

/// The services around agents on a real database, a fake Cloudflare and a clock of the test's own.
class AgentFixture : public ::testing::Test {
 protected:
  AgentFixture() {
    clock_.set_auto_advance(true);
    tunnel_settings_.configured = true;
    tunnel_settings_.cluster_id = "test";
    tunnel_settings_.domain = "dev.example.com";
  }

  AgentRow add(AgentRow row) {
    const auto done = database_->run_write([&](db::Transaction& tx) -> Result<void> {
      if (auto inserted = agents_.insert(tx, row); !inserted) return inserted;
      const CredentialRow credential{.id = "credential-" + row.id.str(),
                                     .agent_id = row.id,
                                     .lookup = "lookup-" + row.id.str(),
                                     .secret_hash = "hash",
                                     .created_at = clock_.now(),
                                     .expires_at = clock_.now() + Seconds(30 * 86400)};
      return CredentialStore().insert(tx, credential);
    });
    EXPECT_TRUE(done) << done.error().detail;
    directory_.put(row);
    return row;
  }
  AgentRow add(int number) { return add(testing::make_agent(number, clock_.now())); }
  AgentRow get(const AgentId& id) {
    return database_->read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); })
        .value()
        .value();
  }
  std::vector<std::string> audited() {
    return database_.values<std::string>("SELECT action FROM audit_log ORDER BY at, id");
  }
  /// A heartbeat as far as the live map is concerned.
  void beat(const AgentRow& row, bool reattest_told = false) {
    static const std::optional<agent_api::WorkloadReport> kNothing;
    live_.merge(key_of(row.id),
                {.registration_id = key_of(std::string_view(row.registration_id.str())),
                 .registered_at = row.registered_at,
                 .status = row.health_status,
                 .seq = ++seq_,
                 .good = true,
                 .workload = &kNothing},
                {}, clock_.now());
    live_.note_answer(key_of(row.id), Seconds(30), reattest_told, clock_.now());
  }

  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase database_;
  standins::CloudflareFake fake_{{}, clock_, random_};
  standins::CloudflareDirectClient http_{fake_};
  TunnelSettings tunnel_settings_;
  cloudflare::CloudflareClient cloudflare_{http_, clock_, random_, [this] {
                                             cloudflare::CloudflareConfig config;
                                             config.api_url = standins::CloudflareDirectClient::kUrl;
                                             config.account_id = fake_.config().account_id;
                                             config.zone_id = fake_.config().zone_id;
                                             config.api_token = Secret(fake_.config().api_token);
                                             return config;
                                           }};
  Directory directory_{database_, clock_};
  LiveMap live_{database_};
  NoDeployments deployments_;
  std::unique_ptr<CredentialCache> credentials_ = CredentialCache::create(1024, Milliseconds(5000), random_);
  int woken_ = 0;
  TunnelService tunnels_{TunnelParts{.database = database_,
                                     .cloudflare = cloudflare_,
                                     .directory = directory_,
                                     .clock = clock_,
                                     .random = random_,
                                     .settings = [this] { return tunnel_settings_; }},
                         [this] { ++woken_; }};
  AgentService service_{{.database = database_,
                         .directory = directory_,
                         .live = live_,
                         .deployments = deployments_,
                         .tunnels = tunnels_,
                         .credentials = *credentials_,
                         .clock = clock_,
                         .random = random_}};
  AgentStore agents_;
  std::int64_t seq_ = 0;
};

}  // namespace ee::cp
