// kill -9 of the control plane, of an agent and of the container engine, each at each step of a deployment's life. The
// killed program is started again, as its service manager would do; nobody repeats an order. What was asked happens.
#include <gtest/gtest.h>

#include <array>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "common/json.h"
#include "common/time.h"
#include "tests/e2e/site.h"

namespace ee::testing {
namespace {

constexpr int kPatienceMs = 150'000;

enum class Victim : std::uint8_t { control_plane, agent, engine };
constexpr std::array kAll = {Victim::control_plane, Victim::agent, Victim::engine};
constexpr std::array kNames = {"control-plane", "agent", "engine"};

/// An amount of money in micro-dollars.
std::int64_t micros_at(const boost::json::value& from, std::string_view pointer) {
  std::string digits = text_at(from, pointer);
  std::erase(digits, '.');
  return digits.empty() ? -1 : std::stoll(digits);
}

class DeployKillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = RealEngine::start();
    if (!engine) GTEST_SKIP() << engine.error();
    image_ = (*engine)->push({.name = "kill"});
    site_.emplace(std::move(*engine), 2);
    user_.emplace(site_->control_plane());
  }
  void TearDown() override {
    if (site_) EXPECT_TRUE(site_->stop()) << site_->logs();
  }

  TwoServices services(const std::string& page, bool broken = false) const {
    return {.image = image_, .port = port_, .page = page, .broken = broken};
  }
  std::string order(const TwoServices& content, const std::string& more = "") const {
    return Deployer::request(content.text(), port_, more);
  }
  void upgrade(const TwoServices& content) {
    (void)user_->need(202, "POST", "/api/v1/deployments/" + id_ + "/upgrade", order(content));
  }

  /// kill -9, then a start as after any crash.
  void strike(Victim victim, const std::string& step) {
    const std::string line = std::string(kNames.at(static_cast<std::size_t>(victim))) + " killed while " + step + "\n";
    log_ << line;
    switch (victim) {
      case Victim::control_plane:
        site_->control_plane().kill_hard();
        site_->control_plane().start();
        break;
      case Victim::agent:
        holder().kill_hard();
        holder().start();
        break;
      case Victim::engine:
        site_->engine().kill_hard();
        site_->engine().start_again();
        break;
    }
  }
  /// The agent that the deployment is placed on.
  AgentProcess& holder() { return site_->agent_named(holder_); }
  /// What the holder itself says that it is doing; it is on disk before anything is asked of the engine.
  std::string phase() {
    std::ifstream in(holder().folder() / "state.json");
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto state = json::parse(text);
    return state ? text_at(*state, "/held/phase") : "";
  }
  std::int64_t target_revision() { return user_->deployment(id_).at("target_revision").to_number<std::int64_t>(); }
  bool comes(const auto& what) { return eventually(what, kPatienceMs); }
  bool container_is(const std::string& state, const std::string& suffix) const {
    for (const std::string& name : site_->containers(state))
      if (name.ends_with(suffix)) return true;
    return false;
  }
  /// Until the deployment runs at this revision and its page is this one, with the gates open.
  void expect_runs(std::int64_t revision, const std::string& page) {
    boost::json::value now;
    EXPECT_TRUE(comes([&] {
      site_->open_gates();
      now = user_->deployment(id_);
      return text_at(now, "/state") == "running" && now.at("revision").to_number<std::int64_t>() == revision &&
             user_->visit("kill").body == page + "\n" && is_single();
    })) << boost::json::serialize(now)
        << user_->call("GET", "/api/v1/deployments/" + id_ + "/events").body << "\n"
        << boost::json::serialize(boost::json::value_from(site_->containers())) << "\n"
        << log_.str() << site_->logs();
    EXPECT_EQ(text_at(now, "/agent/vm_name"), holder_) << "it was never moved";
  }
  /// Whether two containers run, of one revision and one agent, and no third is there.
  bool is_single() {
    std::set<std::string> revisions;
    std::set<std::string> owners;
    const auto running = site_->containers("running");
    for (const std::string& name : running) {
      revisions.insert(name.substr(0, name.rfind('-')));
      boost::system::error_code error;
      const auto state = site_->inspect(name);
      const auto* const labels = state.find_pointer("/Config/Labels", error);
      if (labels != nullptr) owners.insert(std::string(labels->at("com.easyenclave.instance").as_string()));
    }
    return running.size() == 2 && site_->containers().size() == 2 && revisions.size() == 1 && owners.size() == 1;
  }

  /// What the account has used is what ran, and no second of it twice.
  void expect_paid_once() {
    std::int64_t ran_micros = 0;
    for (const auto& each : user_->need(200, "GET", "/api/v1/deployments").at("items").as_array()) {
      const auto from = parse_rfc3339(text_at(each, "/started_at"));
      const auto to = parse_rfc3339(text_at(each, "/ended_at"));
      ASSERT_TRUE(from && to) << boost::json::serialize(each);
      ran_micros += (unix_ms(*to) - unix_ms(*from)) * micros_at(each, "/hourly_price") / 3'600'000;
    }
    const std::string account = "/api/v1/accounts/" + user_->account();
    const auto money = user_->need(200, "GET", account + "/balance");
    const std::int64_t spent = 100'000'000 - micros_at(money, "/balance") + micros_at(money, "/accrued");
    EXPECT_GT(spent, ran_micros / 2) << boost::json::serialize(money);
    EXPECT_LE(spent, ran_micros + 100) << boost::json::serialize(money);
    EXPECT_EQ(micros_at(money, "/burn_per_hour"), 0) << "nothing is open";
    std::set<std::string> lines;
    for (const auto& line : user_->need(200, "GET", account + "/transactions?limit=200").at("items").as_array())
      EXPECT_TRUE(
          lines.insert(text_at(line, "/tx_type") + text_at(line, "/period_start_at") + text_at(line, "/reference_id"))
              .second)
          << "twice: " << boost::json::serialize(line);
  }

  /// Deploys while `victim` is killed, and returns when the holder wants to pull, which it cannot yet.
  void place(Victim victim) {
    site_->engine().hold_registry();
    const std::string key = "order-" + std::string(kNames.at(static_cast<std::size_t>(victim)));
    {
      const std::jthread killer([&] {
        if (victim == Victim::control_plane) strike(victim, "placing");
      });
      const auto answer = user_->insist("POST", "/api/v1/deploy",
                                        order(services("first"), R"(,"access":"public","service":"kill")"), key);
      ASSERT_EQ(answer.status, 201) << answer.body << site_->logs();
      const auto placed = json::parse(answer.body).value();
      id_ = text_at(placed, "/deployments/0/id");
      holder_ = text_at(placed, "/deployments/0/agent/vm_name");
    }
    if (victim != Victim::control_plane) strike(victim, "placing");
    EXPECT_TRUE(comes([&] { return phase() == "pulling"; })) << site_->logs();
  }
  /// Stops it while `victim` is killed: then nothing is left.
  void stop(Victim victim) {
    (void)user_->need(202, "POST", "/api/v1/deployments/" + id_ + "/stop", "{}");
    EXPECT_TRUE(comes([&] { return phase() != "running"; })) << site_->logs();
    strike(victim, "stopping");
    EXPECT_TRUE(user_->reaches(id_, "stopped", kPatienceMs))
        << boost::json::serialize(user_->deployment(id_)) << site_->logs();
    EXPECT_TRUE(comes([&] { return site_->leftovers().empty(); })) << site_->leftovers() << site_->logs();
    EXPECT_TRUE(comes([&] { return site_->count_agents("status=undeployed&health_status=healthy") == 2; }))
        << site_->logs();
    (void)site_->engine().call("DELETE", "/v1.41/images/" + image_ + "?force=true");
  }

  const std::uint16_t port_ = free_port();
  std::string image_;
  std::optional<Site> site_;
  std::optional<Deployer> user_;
  std::string id_;
  std::string holder_;  ///< name of the agent that it is placed on
  std::ostringstream log_;
};

// covers: S03_DSP_001, S03_UPG_005
TEST_F(DeployKillTest, WhoeverIsKilledAtWhateverStepWhatWasAskedHappensOnce) {
  ASSERT_NO_FATAL_FAILURE(place(Victim::control_plane));
  for (const Victim victim : kAll) {
    strike(victim, "pulling");
    EXPECT_TRUE(comes([&] { return phase() == "pulling"; })) << site_->logs();
  }
  site_->engine().release_registry();
  for (const Victim victim : kAll) {
    EXPECT_TRUE(comes([&] { return container_is("running", "-r1-store"); })) << site_->logs();
    EXPECT_FALSE(container_is("running", "-r1-web"));
    strike(victim, "starting");
  }
  expect_runs(1, "first");
  for (const Victim victim : kAll) {
    strike(victim, "running");
    expect_runs(1, "first");
  }
  upgrade(services("second"));
  for (const Victim victim : kAll) {
    EXPECT_TRUE(comes([&] { return container_is("running", "-r2-store"); })) << site_->logs();
    strike(victim, "upgrading");
  }
  expect_runs(2, "second");
  std::int64_t revision = 2;
  for (const Victim victim : kAll) {
    upgrade(services("third", true));
    const std::string failing = "-r" + std::to_string(revision + 1) + "-store";
    EXPECT_TRUE(comes([&] { return container_is("exited", failing) || target_revision() == revision + 2; }))
        << site_->logs();
    strike(victim, "rolling back");
    revision += 2;
    expect_runs(revision, "second");
  }
  stop(Victim::control_plane);

  for (const Victim victim : {Victim::agent, Victim::engine}) {
    ASSERT_NO_FATAL_FAILURE(place(victim));
    site_->engine().release_registry();
    expect_runs(1, "first");
    stop(victim);
  }
  const auto all = user_->need(200, "GET", "/api/v1/deployments");
  EXPECT_EQ(all.at("items").as_array().size(), 3U) << "three were ordered: " << boost::json::serialize(all);
  expect_paid_once();
}

}  // namespace
}  // namespace ee::testing
