#pragma once
#include <gtest/gtest.h>

#include <algorithm>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/domain/agent_changes.h"
#include "cp/domain/tunnel_names.h"
#include "cp/service/tunnel_service.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {

/// The tunnel service on a real database, against a fake Cloudflare, with a clock of the test's own that sleeps skip.
class TunnelFixture : public ::testing::Test {
 protected:
  TunnelFixture() {
    clock_.set_auto_advance(true);
    settings_.configured = true;
    settings_.cluster_id = "test";
    settings_.domain = "dev.example.com";
    config_.api_url = standins::CloudflareDirectClient::kUrl;
    config_.account_id = fake_.config().account_id;
    config_.zone_id = fake_.config().zone_id;
    config_.api_token = Secret(fake_.config().api_token);
  }

  /// A registration's part: reserves, inserts.
  AgentRow add(AgentRow row) {
    const auto done = database_->run_write([&](db::Transaction& tx) -> Result<void> {
      if (auto reserved = service_.reserve(tx, row, clock_.now()); !reserved) return reserved;
      return agents_.insert(tx, row);
    });
    EXPECT_TRUE(done) << done.error().detail;
    return row;
  }
  AgentRow add(int number) { return add(testing::make_agent(number, clock_.now())); }
  AgentRow get(const AgentId& id) {
    return database_->read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); })
        .value()
        .value();
  }
  void change(const AgentId& id, AgentEvent event, const ChangeInputs& inputs = {}) {
    const auto done = database_->run_write([&](db::Transaction& tx) -> Result<void> {
      const AgentRow before = agents_.get(tx, id).value().value();
      AgentRow after = before;
      if (auto moved = change_state(after, event, facts_of(before), clock_.now(), inputs); !moved)
        return std::unexpected(moved.error());
      const auto written = agents_.update(tx, before, after, clock_.now());
      if (!written || !*written) return fail(ErrorCode::concurrent_update);
      return {};
    });
    ASSERT_TRUE(done) << done.error().detail;
  }
  void remove(const AgentId& id) { change(id, AgentEvent::delete_forced, {.delete_reason = DeleteReason::admin}); }
  /// Runs the worker, with time passing, until nothing is due any more.
  void settle(int most = 40) {
    for (int i = 0; i < most; ++i) {
      ASSERT_TRUE(service_.run_worker({}));
      const auto left = database_.value<std::int64_t>(
          "SELECT COUNT(*) FROM agents WHERE status='deleting' OR (status<>'deleted' AND tunnel_state IN"
          " ('pending','failed','provisioning','deleting'))");
      if (left == 0) return;
      clock_.advance(Seconds(61));
    }
  }
  int calls(std::string_view method) {
    const auto log = fake_.requests();
    return static_cast<int>(std::ranges::count_if(log, [&](const auto& call) { return call.method == method; }));
  }
  void expect_one_of_each(const AgentRow& row) {
    ASSERT_EQ(fake_.live_tunnels().size(), 1U);
    const auto tunnel = fake_.live_tunnels().front();
    EXPECT_EQ(tunnel.name, tunnel_name("test", row.id));
    EXPECT_EQ(row.tunnel_id, tunnel.id);
    ASSERT_EQ(tunnel.ingress.size(), 2U);
    EXPECT_EQ(tunnel.ingress[0].hostname, row.hostname);
    EXPECT_EQ(tunnel.ingress[0].service, "http://127.0.0.1:8088");
    EXPECT_EQ(tunnel.ingress[1].service, "http_status:404");
    ASSERT_EQ(fake_.records().size(), 1U);
    const auto record = fake_.records().front();
    EXPECT_EQ(row.dns_record_id, record.id);
    EXPECT_EQ(record.name, row.hostname);
    EXPECT_EQ(record.content, tunnel.id + ".cfargotunnel.com");
    EXPECT_EQ(record.comment, dns_comment("test", row.id));
    EXPECT_TRUE(record.proxied);
  }
  void expect_nothing_left() {
    EXPECT_TRUE(fake_.live_tunnels().empty());
    EXPECT_TRUE(fake_.records().empty());
  }

  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase database_;
  standins::CloudflareFake fake_{{}, clock_, random_};
  standins::CloudflareDirectClient http_{fake_};
  cloudflare::CloudflareConfig config_;
  TunnelSettings settings_;
  cloudflare::CloudflareClient cloudflare_{http_, clock_, random_, [this] { return config_; }};
  Directory directory_{database_, clock_};
  TunnelService service_{TunnelParts{.database = database_,
                                     .cloudflare = cloudflare_,
                                     .directory = directory_,
                                     .clock = clock_,
                                     .random = random_,
                                     .settings = [this] { return settings_; }}};
  AgentStore agents_;
};

}  // namespace ee::cp
