// Two control planes on one PostgreSQL database: what one does, the other does not do again.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cp/deployment_fixture.h"
#include "db/postgres_database.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/support/test_database.h"

namespace ee::testing {
namespace {

struct SharedDatabase {
  PostgresCopy copy;
  TempDir dir;  // the identity that replicas share

  std::map<std::string, std::string, std::less<>> environment() const {
    return {{"EE_DATABASE_URL", copy.url()},
            {"EE_EMULATED_TDX_DIR", (dir / "emulated-tdx").string()},
            {"EE_SECRETS_KEY", to_base64(ByteArray<32>{1, 2, 3})},
            {"EE_CLOUDFLARE_TUNNEL_MODE", "none"}};
  }
};

class ReplicasTest : public SharedDatabase, public DeploymentFixture {
 protected:
  ReplicasTest() : DeploymentFixture({.environment = SharedDatabase::environment()}) {}

  /// The second replica. It starts when the agents are there, at the time of the first.
  TestControlPlane& second() {
    if (!second_) {
      second_ =
          std::make_unique<TestControlPlane>(TestControlPlane::Options{.environment = SharedDatabase::environment()});
      second_->http.set_answer([this](const HttpClientRequest& request) { return agents.answer(request); });
    }
    if (second_->clock.now() < cp.clock.now())
      second_->clock.advance(std::chrono::duration_cast<Milliseconds>(cp.clock.now() - second_->clock.now()));
    return *second_;
  }
  static void at_once(const std::vector<std::function<void()>>& calls) {
    std::atomic<bool> go = false;
    std::vector<std::jthread> threads;
    for (const auto& call : calls)
      threads.emplace_back([&] {
        while (!go) std::this_thread::yield();
        call();
      });
    go = true;
  }
  /// A job on both at once, twice each.
  void race(const std::string& job) {
    TestControlPlane& other = second();
    const auto run_on = [&](TestControlPlane& replica) {
      return [&replica, &job] { std::ignore = replica.app().run_job(job); };
    };
    at_once({run_on(cp), run_on(other), run_on(cp), run_on(other)});
  }
  std::int64_t number(const std::string& sql) { return cp.values<std::int64_t>(sql).front(); }

  std::unique_ptr<TestControlPlane> second_;
};

// covers: S01_CON_001, S01_NON_003
TEST_F(ReplicasTest, S01_CON_001_OfAHundredUsesOfOneNonceAtTwoReplicasOneIsAdmitted) {
  const EmulatedAgent agent("one-nonce", cp.random);
  const auto registration = cp.prepare(agent);
  TestControlPlane& other = second();
  std::vector<TestAnswer> answers(100);
  std::vector<std::function<void()>> calls;
  for (std::size_t i = 0; i < answers.size(); ++i)
    calls.emplace_back(
        [&, i] { answers[i] = (i % 2 == 0 ? cp : other).send(agent, registration, "10.200.0." + std::to_string(i)); });
  at_once(calls);
  EXPECT_EQ(std::ranges::count(answers, 201, &TestAnswer::status), 1);
  for (const TestAnswer& answer : answers)
    if (answer.status != 201) {
      EXPECT_TRUE(answer.code() == "nonce_replayed" || answer.code() == "verifier_busy") << answer.body;
    }
  EXPECT_EQ(number("SELECT COUNT(*) FROM attestation_nonces"), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM agents WHERE vm_name='one-nonce'"), 1);
  EXPECT_EQ(cp.send(agent, registration).code(), "nonce_replayed");
  EXPECT_EQ(other.send(agent, registration).code(), "nonce_replayed");
}

TEST_F(ReplicasTest, S03_ASG_002_TwoHundredDeploysShareHundredAgents) {
  for (int i = 0; i < 100; ++i) agents.add().join();
  std::vector<Made> accounts;
  for (int i = 0; i < 10; ++i) {
    accounts.push_back(make("racer-" + std::to_string(i)));
    fund(accounts.back(), 1'000'000'000);
  }
  TestControlPlane& other = second();
  std::vector<std::string> outcomes(200);
  std::atomic<std::size_t> next = 0;
  const auto worker = [&](TestControlPlane& replica) {
    return [&] {
      for (std::size_t i = next++; i < outcomes.size(); i = next++) {
        replica.clock.advance(Milliseconds(200));
        const TestAnswer answer =
            replica.call("POST", "/api/v1/deploy", raw("", "s" + std::to_string(i)),
                         {{"Authorization", "Bearer " + accounts[i % 10].key}}, "192.0.2." + std::to_string(i));
        outcomes[i] = answer.status == 201 ? "placed" : answer.code();
      }
    };
  };
  std::vector<std::function<void()>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.emplace_back(worker(cp));
    calls.emplace_back(worker(other));
  }
  at_once(calls);
  EXPECT_EQ(std::ranges::count(outcomes, "placed"), 100);
  EXPECT_EQ(std::ranges::count(outcomes, "no_capacity"), 100);
  EXPECT_EQ(number("SELECT COUNT(*) FROM deployments WHERE slot_held=1"), 100);
  EXPECT_EQ(number("SELECT COUNT(DISTINCT agent_id) FROM deployments WHERE slot_held=1"), 100);
  expect_sound();
}

TEST_F(ReplicasTest, S03_DSP_011_ADueRowIsActedOnOnce) {
  for (int i = 0; i < 6; ++i) agents.add().join();
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(deploy_one("", "s" + std::to_string(i)));
  race("deployment_reconciler");
  for (std::size_t i = 0; i < agents.size(); ++i) {
    const auto requests = agents.at(i).requests();
    EXPECT_EQ(std::ranges::count_if(requests, [](const std::string& r) { return r.starts_with("PUT "); }), 1)
        << "agent " << i;
  }
  for (const std::string& id : ids) {
    EXPECT_EQ(state(id), "deploying");
    EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id AND "
                                      "to_state='deploying'",
                                      {{"id", id}})
                  .front(),
              1);
  }
  expect_sound();
}

TEST_F(ReplicasTest, AnHourIsChargedOnce) {
  for (int i = 0; i < 3; ++i) agents.add().join();
  // On the full hour, so that whole hours follow.
  const auto past = cp.clock.now().time_since_epoch() % std::chrono::hours(1);
  cp.clock.advance(std::chrono::duration_cast<Milliseconds>(std::chrono::hours(1) - past));
  cp.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour) ON CONFLICT (id) DO NOTHING",
             {{"hour", cp.clock.now()}});
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/billing.enabled", R"({"value":true})").status, 200);
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(deploy_one("", "s" + std::to_string(i)));
    start(ids.back());
  }
  cp.clock.advance(Milliseconds(std::chrono::hours(4)));
  for (int round = 0; round < 3; ++round) race("hourly_charging");

  EXPECT_GE(number("SELECT COUNT(*) FROM usage_charges"), 9) << "three deployments, three hours at least";
  EXPECT_EQ(number("SELECT COUNT(*) FROM (SELECT segment_id, hour_start_at FROM usage_charges "
                   "GROUP BY segment_id, hour_start_at HAVING COUNT(*) > 1) AS twice"),
            0);
  EXPECT_EQ(number("SELECT COALESCE(SUM(amount_micros), 0) FROM transactions"), 0);
  EXPECT_EQ(
      cp.values<std::int64_t>("SELECT -SUM(amount_micros) FROM transactions WHERE account_id=:id", {{"id", account.id}})
          .front(),
      number("SELECT SUM(gross_micros) FROM usage_charges"));
  EXPECT_EQ(run("ledger_verify").notes.size(), 0U);
}

TEST_F(ReplicasTest, FundsForOneDeploymentAreNotSpentTwice) {
  for (int i = 0; i < 9; ++i) agents.add().join();
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/billing.enabled", R"({"value":true})").status, 200);
  const auto price = column<std::int64_t>(deploy_one("", "price"), "hourly_micros");
  ASSERT_GT(price, 0);
  const Made poor = make("poor");
  fund(poor, price + price / 2);  // an hour of one
  TestControlPlane& other = second();
  std::vector<std::string> outcomes(8);
  std::vector<std::function<void()>> calls;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    calls.emplace_back([&, i] {
      const TestAnswer answer = (i % 2 == 0 ? cp : other)
                                    .call("POST", "/api/v1/deploy", raw("", "poor-" + std::to_string(i)),
                                          {{"Authorization", "Bearer " + poor.key}}, "192.0.2." + std::to_string(i));
      outcomes[i] = answer.status == 201 ? "placed" : answer.code();
    });
  at_once(calls);
  EXPECT_EQ(std::ranges::count(outcomes, "placed"), 1);
  EXPECT_EQ(std::ranges::count(outcomes, "insufficient_funds"), 7);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments WHERE account_id=:id", {{"id", poor.id}}).front(),
            1);
  expect_sound();
}

TEST_F(ReplicasTest, ASettingThatOneChangesCountsOnTheOtherAtOnce) {
  TestControlPlane& other = second();
  // No clock moves, so that no snapshot grows old: what the other learns it was told. The first change may have been
  // read when its listener was ready, the second one not.
  const std::string path = "/api/v1/admin/settings/agents.stale_hours";
  for (const char* const value : {"5", "6", "7"}) {
    const std::string hours = value;
    ASSERT_EQ(cp.admin("PUT", path, R"({"value":)" + hours + "}").status, 200);
    EXPECT_TRUE(eventually([&] { return other.admin("GET", path).body.contains(R"("value":)" + hours + ","); }))
        << other.admin("GET", path).body;
  }
  ASSERT_EQ(other.admin("DELETE", path).status, 200);
  EXPECT_TRUE(eventually([&] { return cp.admin("GET", path).body.contains(R"("value":24,)"); }));
}

// covers: S04_AUTH_CACHE_002
TEST_F(ReplicasTest, ARevokedKeyEndsOnTheOtherWithinFiveSeconds) {
  const Made key = new_key(account, account.key, R"({"name":"second","scopes":["read"]})");
  TestControlPlane& other = second();
  const auto status_at = [&](TestControlPlane& replica, const std::string& text) {
    return replica.call("GET", account.path(), "", {{"Authorization", "Bearer " + text}}).status;
  };
  ASSERT_EQ(status_at(cp, key.key), 200);
  ASSERT_EQ(status_at(other, key.key), 200);
  ASSERT_EQ(cp.admin("DELETE", account.keys() + "/" + key.key_id).status, 204);
  EXPECT_EQ(status_at(cp, key.key), 401) << "at once where it was revoked";
  other.clock.advance(Seconds(5));
  EXPECT_EQ(status_at(other, key.key), 401);
}

/// A replica as a process of its own.
struct ReplicaProcess : ControlPlaneProcess {
  explicit ReplicaProcess(const SharedDatabase& shared)
      : ControlPlaneProcess({{"EE_DATABASE_URL", shared.copy.url()},
                             {"EE_CLUSTER_ID", "test"},
                             {"EE_PUBLIC_URL", "http://127.0.0.1:8080"},
                             {"EE_EMULATED_TDX_DIR", (shared.dir / "emulated-tdx").string()}}) {}
  std::string boot_id() {
    const std::string body = call("GET", "/health").body;
    const std::size_t at = body.find(R"("boot_id":")");
    return at == std::string::npos ? "" : body.substr(at + 11, 36);
  }
};

struct Held {
  std::string name;
  std::string lease_owner;
  std::int64_t lease_fence = 0;
};
BOOST_DESCRIBE_STRUCT(Held, (), (name, lease_owner, lease_fence))

TEST(ReplicaProcesses, S03_JOB_001_TheOtherTakesOverWhatAKilledOneHeld) {
  const SharedDatabase shared;
  const SystemClock clock;
  db::PostgresOptions options;
  options.url = Secret(shared.copy.url());
  options.strict = false;
  options.durable = false;
  auto opened = db::PostgresDatabase::open(options, clock);
  ASSERT_TRUE(opened) << opened.error().detail;
  db::PostgresDatabase& database = **opened;
  ReplicaProcess first(shared);
  ReplicaProcess second(shared);
  first.start();
  second.start();
  const std::string id_of_first = first.boot_id();
  const std::string id_of_second = second.boot_id();
  ASSERT_NE(id_of_first, id_of_second);

  // While this process has the writers' turn, whoever has begun a run cannot end it.
  std::vector<Held> held;
  const auto look = [&](db::Transaction& tx) {
    return tx.query<Held>("SELECT name, lease_owner, lease_fence FROM jobs WHERE lease_owner IS NOT NULL");
  };
  const bool caught = eventually(
      [&] {
        const auto found = database.write<std::vector<Held>>([&](db::Transaction& tx) -> Result<std::vector<Held>> {
          auto rows = look(tx);
          if (!rows || rows->empty()) return rows;
          const std::string owner = rows->front().lease_owner;
          std::erase_if(*rows, [&](const Held& row) { return row.lease_owner != owner; });
          (owner == id_of_first ? first : second).kill_hard();
          return rows;
        });
        if (found) held = *found;
        return !held.empty();
      },
      60000);
  ASSERT_TRUE(caught) << "no run was under way";
  const bool first_died = held.front().lease_owner == id_of_first;
  const std::string& survivor = first_died ? id_of_second : id_of_first;

  const auto row_of = [&](const std::string& name, const std::string& column) {
    const auto found = database.read<std::optional<std::string>>([&](db::Transaction& tx) {
      return tx.query_one<std::string>("SELECT " + column + " FROM jobs WHERE name=:name", {{"name", name}});
    });
    return found && *found ? **found : std::string();
  };
  for (const Held& dead : held) {
    // The lease runs for 30 s after the last sign of life.
    EXPECT_TRUE(eventually([&] { return std::stoll(row_of(dead.name, "lease_fence")) > dead.lease_fence; }, 60000))
        << dead.name;
    EXPECT_TRUE(eventually(
        [&] {
          return row_of(dead.name, "COALESCE(last_outcome, '')") == "ok" ||
                 row_of(dead.name, "COALESCE(last_outcome, '')") == "skipped";
        },
        60000))
        << dead.name << ": " << row_of(dead.name, "COALESCE(last_error, '')");
    // What the dead one would still write is refused.
    const auto late = database.write<std::int64_t>([&](db::Transaction& tx) {
      return tx.execute("UPDATE jobs SET paused=1 WHERE name=:name AND lease_owner=:owner AND lease_fence=:fence",
                        {{"name", dead.name}, {"owner", dead.lease_owner}, {"fence", dead.lease_fence}});
    });
    EXPECT_EQ(late.value_or(-1), 0);
  }
  const auto others = database.read<std::vector<Held>>(look);
  ASSERT_TRUE(others);
  for (const Held& row : *others) EXPECT_EQ(row.lease_owner, survivor) << row.name;
  ReplicaProcess& alive = first_died ? second : first;
  EXPECT_EQ(alive.call("GET", "/ready").status, 200);
  (first_died ? first : second).start();
  EXPECT_EQ(first.stop(), 0);
  EXPECT_EQ(second.stop(), 0);
}

}  // namespace
}  // namespace ee::testing
