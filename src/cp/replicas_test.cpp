// Two replicas of the background work on deployments, and a process that ends in the middle of it.
#include <future>

#include "cp/deployment_fixture.h"
#include "cp/jobs/job_runner.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

/// A replica: a job runner of its own on the common database, whose one job does what the control plane's does. It can
/// die, before its work or after it: it holds its lease, and says nothing more.
class Replica {
 public:
  enum class Dies : std::uint8_t { never, before, after };

  Replica(TestControlPlane& cp, const std::string& name, const std::string& job, Dies dies)
      : runner_({.database = cp.app().database(),
                 .clock = cp.clock,
                 .random = cp.random,
                 .replica = name,
                 .threads = 2,
                 .metrics = metrics_},
                {{.name = job,
                  .period = cp::every(Seconds(1)),
                  .timeout = Seconds(3600),
                  .run = [this, &cp, job, dies](const cp::JobContext&) -> Result<cp::JobSummary> {
                    Result<cp::JobSummary> done;
                    if (dies != Dies::before) done = cp.app().run_job(job);
                    ++entered_;
                    entered_.notify_all();
                    if (dies != Dies::never) over_.get_future().wait();
                    return done;
                  }}}) {
    EXPECT_TRUE(runner_.prepare());
  }
  ~Replica() { over_.set_value(); }

  void look() { runner_.schedule_pass(); }
  void wait_until_entered() { entered_.wait(0); }
  void finish() { runner_.wait_until_idle(); }
  int entered() const { return entered_; }

 private:
  metrics::Registry metrics_;
  std::atomic<int> entered_ = 0;
  std::promise<void> over_;
  cp::JobRunner runner_;  // last: its threads end first
};

class ReplicasTest : public DeploymentFixture {
 protected:
  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  /// The first replica takes the job and dies; the second one looks before and after the lease has ended.
  void one_dies(const std::string& job, Replica::Dies when) {
    Replica first(cp, "first", job, when);
    cp.clock.advance(Seconds(31));
    first.look();
    first.wait_until_entered();
    Replica second(cp, "second", job, Replica::Dies::never);
    second.look();
    second.finish();
    EXPECT_EQ(second.entered(), 0) << job << ": the lease is held";
    cp.clock.advance(Seconds(61));
    second.look();
    second.finish();
    EXPECT_EQ(second.entered(), 1) << job << ": taken over";
    EXPECT_EQ(first.entered(), 1);
  }
  std::int64_t count(const std::string& sql, const db::Params& params = {}) {
    return cp.values<std::int64_t>(sql, params).front();
  }
  std::int64_t moves(const std::string& id, const std::string& to) {
    return count("SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id AND to_state=:to AND kind='state'",
                 {{"id", id}, {"to", to}});
  }
};

// covers: S03_JOB_001
TEST_F(ReplicasTest, WhenTheHolderOfALeaseDiesTheOtherGoesOnAndNothingIsDoneTwice) {
  for (const Replica::Dies when : {Replica::Dies::before, Replica::Dies::after}) {
    SCOPED_TRACE(when == Replica::Dies::before ? "before its work" : "after its work");
    const std::string tag = when == Replica::Dies::before ? "-b" : "-a";
    account = make("payer" + tag);
    fund(account, 1'000'000'000);

    FakeAgent& one = join();
    const std::string expired = deploy_one(R"("agent_name":")" + one.name() + "\"", "ttl" + tag);
    start(expired);
    cp.execute("UPDATE deployments SET expires_at=1 WHERE id=:id", {{"id", expired}});
    one_dies("ttl_expiry", when);
    EXPECT_EQ(moves(expired, "stopping"), 1);
    reconcile();
    EXPECT_EQ(state(expired), "terminated");

    one.healthy = false;
    for (int i = 0; i < 4; ++i) ASSERT_EQ(one.beat().status, 200);
    const std::string waiting = deploy_one(R"("wait_for_capacity_seconds":3600)", "wait" + tag);
    ASSERT_EQ(state(waiting), "pending");
    one.healthy = true;
    for (int i = 0; i < 4; ++i) ASSERT_EQ(one.beat().status, 200);
    one_dies("capacity_waiter", when);
    EXPECT_EQ(moves(waiting, "assigned"), 1);
    EXPECT_EQ(column<std::int64_t>(waiting, "placement_attempts"), 1);
    start(waiting);

    FakeAgent& two = join();
    const TestAnswer replaced = as(account.key, "POST", "/api/v1/deployments/" + waiting + "/upgrade",
                                   R"({"env":{"A":"2"},"strategy":"replace"})");
    ASSERT_EQ(replaced.status, 202) << replaced.body;
    const std::string made = text(body_of(replaced).at("deployments").at(0), "id");
    start(made);
    one_dies("replace_finisher", when);
    EXPECT_EQ(moves(waiting, "stopping"), 1);
    cp.clock.advance(Seconds(5));  // it leaves the routes first
    reconcile();
    EXPECT_EQ(state(waiting), "stopped");
    EXPECT_EQ(state(made), "running");

    cp.execute("UPDATE agents SET placement_key='wrong' WHERE id=:id", {{"id", two.id()}});
    const std::int64_t mended = audited("placement_repaired");
    one_dies("placement_check", when);
    EXPECT_EQ(audited("placement_repaired"), mended + 1);

    cp.execute("UPDATE deployments SET ended_at=1 WHERE id=:id", {{"id", expired}});
    one_dies("deployment_retention", when);
    EXPECT_EQ(count("SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id", {{"id", expired}}), 0);
    EXPECT_GT(count("SELECT COUNT(*) FROM deployment_events WHERE deployment_id=:id", {{"id", made}}), 0);

    for (int i = 0; i < 7; ++i) {  // the job has listened for long enough to believe in silence
      run("agent_loss");
      if (i < 6) cp.clock.advance(Seconds(30) - Milliseconds(2100));
      if (i < 6) ASSERT_EQ(two.beat().status, 200);
    }
    const auto before_the_pass = [&] {
      for (int i = 0; i < 4; ++i) {
        cp.clock.advance(Seconds(40));
        run("agent_loss");
      }
    };
    before_the_pass();
    ASSERT_EQ(state(made), "running");
    one_dies("agent_loss", when);
    for (int i = 0; i < 8; ++i) {  // after the break it listens again before it believes
      cp.clock.advance(Seconds(30));
      run("agent_loss");
    }
    EXPECT_EQ(moves(made, "terminated"), 1);
    EXPECT_EQ(open_segments(made), 0);
    EXPECT_EQ(count("SELECT COUNT(*) FROM deployment_segments WHERE deployment_id=:id", {{"id", made}}), 1);
    one_dies("measurement_reaper", when);
    expect_sound();
    for (FakeAgent* agent : {&one, &two}) {  // out of the way of the second round
      agent->drop();
      ASSERT_EQ(cp.admin("POST", "/api/v1/agents/" + agent->id() + "/drain", "{}").status, 200);
    }
  }
}

/// An agent that holds a call until it is let go or the call is cancelled.
class Hang {
 public:
  void wait(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, stop, [this] { return open_; });
    --waiting_;
  }
  void wait_for(int calls) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return waiting_ >= calls; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int waiting_ = 0;
  bool open_ = false;
};

class ShutdownTest : public DeploymentFixture {
 protected:
  ShutdownTest() : DeploymentFixture(with_jobs()) {}
  static TestControlPlane::Options with_jobs() {
    auto wanted = options();
    wanted.run_jobs = true;
    return wanted;
  }
};

// covers: S03_JOB_003
TEST_F(ShutdownTest, UnderLoadItEndsInTimeAndARestartGoesOn) {
  EE_SKIP_ON_POSTGRES("it looks into the file while no control plane runs");
  constexpr std::size_t kAgents = 40;  // more than are called at once
  // Time passes here faster than agents beat.
  cp.execute("UPDATE jobs SET paused=1 WHERE name IN ('agent_health_sweep', 'agent_loss')");
  for (std::size_t i = 0; i < kAgents; ++i) agents.add().join();
  Hang hang;
  std::atomic<bool> hangs = true;
  cp.http.set_answer([&](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    if (hangs) hang.wait(request.stop);
    if (request.stop.stop_requested()) return std::unexpected(HttpFailure::cancelled);
    return agents.answer(request);
  });
  for (std::size_t i = 0; i < kAgents; ++i) deploy_one("", "s" + std::to_string(i));
  hang.wait_for(32);  // the reconciler was woken, and every one of its calls hangs
  const auto begin = std::chrono::steady_clock::now();
  cp.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << "it has five seconds";
  {
    auto database = db::SqliteDatabase::open({.path = cp.database_path().string(), .strict = false}, cp.clock);
    ASSERT_TRUE(database);
    const auto left = (*database)->read<std::vector<std::int64_t>>([](db::Transaction& tx) {
      return tx.query<std::int64_t>(
          "SELECT COUNT(*) FROM deployments WHERE state='assigned' AND lease_owner IS NULL AND next_action_at IS NOT "
          "NULL");
    });
    ASSERT_TRUE(left);
    EXPECT_EQ(left->front(), static_cast<std::int64_t>(kAgents)) << "all of it is there, and nobody waits for leases";
  }
  hangs = false;
  hang.open();
  cp.start();
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const auto assigned = [&] {
    return cp.values<std::int64_t>("SELECT COUNT(*) FROM deployments WHERE state='assigned'").front();
  };
  while (assigned() > 0 && std::chrono::steady_clock::now() < patience) {
    cp.clock.advance(Seconds(1));
    reconcile();
  }
  EXPECT_EQ(assigned(), 0) << "the restart goes on where it was";
  for (std::size_t i = 0; i < kAgents; ++i) {
    ASSERT_TRUE(agents.at(i).held());
    EXPECT_EQ(agents.at(i).held()->assignment_epoch, 1);
  }
  expect_sound();
  cp.stop();
}

}  // namespace
}  // namespace ee::testing
