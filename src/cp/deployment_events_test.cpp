// A deployment's history as a list (03 section 3.1).
#include "cp/deployment_fixture.h"
#include "cp/store/deployment_event_store.h"

namespace ee::testing {
namespace {

using Phase = agent_api::WorkloadPhase;

class DeploymentEventsTest : public DeploymentFixture {
 protected:
  TestAnswer events(const std::string& id, const std::string& query = "") {
    return as(account.key, "GET", "/api/v1/deployments/" + id + "/events" + query);
  }
  static std::vector<std::int64_t> numbers(const boost::json::value& page) {
    std::vector<std::int64_t> out;
    for (const auto& item : page.at("items").as_array()) out.push_back(item.at("seq").as_int64());
    return out;
  }
  using Numbers = std::vector<std::int64_t>;
};

TEST_F(DeploymentEventsTest, PagesFollowEachOtherWithoutAGap) {
  agents.add().join();
  const std::string id = deploy_one();
  start(id);  // assigned, deploying, running and what was told between them
  const auto all = numbers(body_of(events(id)));
  ASSERT_GE(all.size(), 3U);
  EXPECT_TRUE(body_of(events(id)).at("next_cursor").is_null());
  Numbers seen;
  std::string query = "?limit=1";
  for (std::size_t i = 0; i <= all.size(); ++i) {
    const auto page = body_of(events(id, query));
    EXPECT_LE(page.at("items").as_array().size(), 1U);
    for (const std::int64_t seq : numbers(page)) seen.push_back(seq);
    if (page.at("next_cursor").is_null()) break;
    query = "?limit=1&cursor=" + text(page, "next_cursor");
  }
  EXPECT_EQ(seen, all);
  EXPECT_EQ(numbers(body_of(events(id, "?after_seq=1&limit=1"))), Numbers{2});
  EXPECT_TRUE(numbers(body_of(events(id, "?after_seq=99"))).empty());
}

TEST_F(DeploymentEventsTest, APageIsBoundedAndItsCursorCountsForOneDeployment) {
  for (int i = 0; i < 2; ++i) agents.add().join();
  const std::string id = deploy_one();
  const std::string other = deploy_one("", "other");
  cp.execute("DELETE FROM deployment_events WHERE deployment_id=:id", {{"id", id}});
  const auto filled = cp.app().database().run_write([&](db::Transaction& tx) -> Result<void> {
    for (int i = 0; i < 230; ++i)
      if (auto done = cp::DeploymentEventStore().append(
              tx, {.deployment_id = DeploymentId(id), .at = cp.clock.now(), .kind = "progress", .actor = "test"});
          !done)
        return done;
    return {};
  });
  ASSERT_TRUE(filled);
  EXPECT_EQ(numbers(body_of(events(id))).size(), 50U);
  const auto first = body_of(events(id, "?limit=200"));
  EXPECT_EQ(numbers(first).size(), 200U);
  const std::string cursor = text(first, "next_cursor");
  const auto last = body_of(events(id, "?limit=200&cursor=" + cursor));
  EXPECT_EQ(numbers(last).size(), 30U);
  EXPECT_EQ(numbers(last).front(), 201);
  EXPECT_TRUE(last.at("next_cursor").is_null());
  EXPECT_EQ(events(other, "?cursor=" + cursor).code(), "invalid_cursor");
  for (const char* bad : {"?limit=0", "?limit=201", "?limit=x", "?after_seq=-1", "?after_seq=x", "?since=1"})
    EXPECT_EQ(events(id, bad).code(), "invalid_request") << bad;
  EXPECT_EQ(events(id, "?cursor=x").code(), "invalid_cursor");
  EXPECT_EQ(as(make("stranger").key, "GET", "/api/v1/deployments/" + id + "/events").code(), "deployment_not_found");
}

}  // namespace
}  // namespace ee::testing
