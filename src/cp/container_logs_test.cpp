// What containers write, read through the agents that run them (03 section 10.2).
#include <boost/json.hpp>
#include <thread>

#include "common/fake_http_streams.h"
#include "cp/deployment_fixture.h"
#include "cp/http/container_follow.h"
#include "tests/support/event_reader.h"

namespace ee::testing {
namespace {

std::string line_of(const std::string& at, const std::string& text, const std::string& container = "web") {
  return R"({"at":"2026-01-01T00:00:)" + at + R"(Z","container":")" + container + R"(","stream":"stdout","line":")" +
         text + "\"}\n";
}
const std::string kEnd = "{\"end\":true,\"dropped\":0}\n";

class ContainerLogsTest : public DeploymentFixture {
 protected:
  ContainerLogsTest()
      : DeploymentFixture([this] {
          auto wanted = options();
          wanted.streams = &streams;
          return wanted;
        }()) {}

  FakeAgent& join() {
    FakeAgent& agent = agents.add();
    agent.join();
    return agent;
  }
  /// Three replicas, each on an agent of its own, all running; their ids.
  std::vector<std::string> deploy_three() {
    for (int i = 0; i < 3; ++i) join();
    const TestAnswer answer = deploy(raw(R"("replicas":3)"));
    EXPECT_EQ(answer.status, 201) << answer.body;
    group = text(body_of(answer), "group_id");
    std::vector<std::string> ids;
    for (const auto& one : body_of(answer).at("deployments").as_array()) ids.push_back(text(one, "id"));
    for (const std::string& id : ids) start(id);
    return ids;
  }
  TestAnswer read(const std::string& query, const std::string& key = {}) {
    return as(key.empty() ? account.key : key, "GET", "/api/v1/logs/containers?" + query);
  }
  static std::vector<std::string> lines(const boost::json::value& page) {
    std::vector<std::string> out;
    for (const auto& item : page.at("items").as_array()) out.push_back(text(item, "line"));
    return out;
  }
  EventReader follow(const std::string& id, const std::string& query = "", const std::string& fields = {}) {
    return EventReader(cp.app().port(), "/api/v1/deployments/" + id + "/logs" + query, account.key, fields);
  }
  /// The call of that number, for which time passes.
  std::shared_ptr<FakeHttpStreams::Call> next_call(std::size_t index) {
    for (int i = 0; i < 200; ++i) {
      if (auto call = streams.call(index, Milliseconds(25))) return call;
      cp.clock.advance(Milliseconds(500));
    }
    return nullptr;
  }
  bool nobody_follows() {
    for (int i = 0; i < 1000; ++i)
      if (cp.call("GET", "/metrics").body.find("ee_log_followers{stream=\"deployments\"} 0") != std::string::npos)
        return true;
    return false;
  }
  /// The agent's side of a follow: its head is given.
  std::shared_ptr<FakeHttpStreams::Call> answered(std::size_t index, const FakeAgent& agent) {
    auto call = next_call(index);
    EXPECT_TRUE(call) << index;
    if (call)
      EXPECT_TRUE(
          FakeHttpStreams::head(*call, 200, {{"X-EE-Agent", agent.id()}, {"Content-Type", "application/x-ndjson"}}));
    return call;
  }

  FakeHttpStreams streams;
  std::string group;
  std::string asked;
  std::size_t streams_used = 0;
  using Texts = std::vector<std::string>;
};

// covers: S03_LOG_004
TEST_F(ContainerLogsTest, S03_LOG_004_merges_agents_and_names_those_that_fail) {
  const auto ids = deploy_three();
  agent_of(ids[0]).script.logs = line_of("01.000", "a1") + line_of("03.000", "a3") + kEnd;
  agent_of(ids[1]).script.logs = line_of("02.000", "b2") + line_of("04.000", "b4") + kEnd;
  agent_of(ids[2]).script.logs = line_of("02.500", "c2") + kEnd;
  const auto all = body_of(read("group_id=" + group));
  EXPECT_EQ(lines(all), (Texts{"a1", "b2", "c2", "a3", "b4"}));
  EXPECT_TRUE(all.at("errors").as_array().empty());
  EXPECT_EQ(text(all.at("items").at(1), "agent_id"), agent_of(ids[1]).id());
  EXPECT_EQ(text(all.at("items").at(1), "deployment_id"), ids[1]);
  EXPECT_EQ(lines(body_of(read("service=web&tail=2"))), (Texts{"a3", "b4"})) << "the newest of all";

  agent_of(ids[1]).script.unreachable = true;
  agent_of(ids[2]).script.logs = "<html>not found</html>";
  agent_of(ids[2]).script.logs_type = "text/html";
  const TestAnswer partly = read("service=web");
  ASSERT_EQ(partly.status, 200) << partly.body;
  const auto some = body_of(partly);
  EXPECT_EQ(lines(some), (Texts{"a1", "a3"}));
  std::map<std::string, std::string> errors;
  for (const auto& error : some.at("errors").as_array()) errors[text(error, "agent_id")] = text(error, "code");
  EXPECT_EQ(errors, (std::map<std::string, std::string>{{agent_of(ids[1]).id(), "agent_unreachable"},
                                                        {agent_of(ids[2]).id(), "agent_bad_response"}}));
  agent_of(ids[0]).script.unreachable = true;
  EXPECT_EQ(read("group_id=" + group).code(), "agent_bad_response") << "nobody answered properly";
  agent_of(ids[2]).script.unreachable = true;
  EXPECT_EQ(read("group_id=" + group).code(), "agent_unreachable");
  EXPECT_EQ(read("group_id=" + group).status, 503);
}

TEST_F(ContainerLogsTest, AnAgentsAnswerIsBelievedInNothing) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const auto code = [&](const std::string& logs) {
    agent.script.logs = logs;
    return read("deployment_id=" + id).code();
  };
  EXPECT_EQ(code(line_of("01.000", "a") + kEnd), "");
  EXPECT_EQ(code(kEnd + line_of("01.000", "a")), "agent_bad_response");
  EXPECT_EQ(code("not json\n" + kEnd), "agent_bad_response");
  EXPECT_EQ(code(line_of("01.000", std::string(17'000, 'x')) + kEnd), "agent_bad_response") << "too long a line";
  EXPECT_EQ(code(line_of("01.000", "a", "../../etc") + kEnd), "agent_bad_response");
  EXPECT_EQ(code(line_of("99.000", "a") + kEnd), "agent_bad_response");
  agent.script.anonymous = true;
  EXPECT_EQ(code(line_of("01.000", "a") + kEnd), "agent_bad_response") << "somebody else answered";
  agent.script.anonymous = false;
  // Its own lines, which nobody asked for.
  agent.script.logs = line_of("01.000", "mine", "_agent") + line_of("02.000", "yours") + kEnd;
  EXPECT_EQ(lines(body_of(read("deployment_id=" + id))), (Texts{"yours"}));
}

// covers: S03_LOG_005
TEST_F(ContainerLogsTest, S03_LOG_005_for_owner_and_administrator_alone) {
  FakeAgent& agent = join();
  const Made other = make("other");
  const Made operates = make("operates", "agent");
  cp.execute("UPDATE agents SET account_id=:account WHERE id=:id", {{"account", operates.id}, {"id", agent.id()}});
  const std::string id = deploy_one();
  start(id);
  agent.script.logs = line_of("01.000", "one") + kEnd;
  const std::string group_id =
      cp.values<std::string>("SELECT group_id FROM deployments WHERE id=:id", {{"id", id}}).front();
  const std::string admin = cp.admin_token();
  const auto before = agent.requests().size();
  for (const std::string& path :
       {"/api/v1/deployments/" + id + "/logs", "/api/v1/logs/containers?deployment_id=" + id,
        "/api/v1/logs/containers?group_id=" + group_id, std::string("/api/v1/logs/containers?service=web"),
        "/api/v1/deployments/" + id + "/logs/export"}) {
    EXPECT_EQ(as(other.key, "GET", path).status, 404) << path;
    EXPECT_EQ(as(operates.key, "GET", path).status, 404) << path;
    const std::string stream = path + (path.find('?') == std::string::npos ? "?" : "&") + "follow=true";
    if (path.find("export") == std::string::npos) EXPECT_EQ(as(operates.key, "GET", stream).status, 404) << stream;
  }
  EXPECT_EQ(agent.requests().size(), before) << "nobody was asked for them";
  for (const std::string& path :
       {"/api/v1/deployments/" + id + "/logs", "/api/v1/logs/containers?deployment_id=" + id,
        "/api/v1/logs/containers?group_id=" + group_id, std::string("/api/v1/logs/containers?service=web")}) {
    EXPECT_EQ(as(account.key, "GET", path).status, 200) << path;
    EXPECT_EQ(as(admin, "GET", path).status, 200) << path;
    EXPECT_EQ(lines(body_of(as(account.key, "GET", path))), (Texts{"one"}));
  }
  const std::string of_agent = "agent_id=" + agent.id();
  EXPECT_EQ(read(of_agent).code(), "admin_required");
  EXPECT_EQ(read(of_agent, operates.key).code(), "admin_required");
  EXPECT_EQ(lines(body_of(read(of_agent, admin))), (Texts{"one"}));
  EXPECT_EQ(read("agent_id=0190a000-0000-7000-8000-000000000009", admin).code(), "agent_not_found");
  EXPECT_EQ(read("deployment_id=" + id + "&container=_agent").code(), "admin_required");
  EXPECT_EQ(read(of_agent + "&container=_agent", admin).status, 200);
}

TEST_F(ContainerLogsTest, ExactlyOneSelectorAndParametersWithinTheirBounds) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  for (const std::string& query :
       {std::string(), "deployment_id=" + id + "&service=web", std::string("deployment_id=7"),
        std::string("group_id=x"), std::string("service="), "deployment_id=" + id + "&tail=0",
        "deployment_id=" + id + "&tail=10001", "deployment_id=" + id + "&stream=stdin",
        "deployment_id=" + id + "&since=soon", "deployment_id=" + id + "&container=Web",
        "deployment_id=" + id + "&format=xml", "deployment_id=" + id + "&max_bytes=1",
        "deployment_id=" + id + "&q=" + std::string(201, 'q')})
    EXPECT_EQ(read(query).code(), "invalid_request") << query;
  EXPECT_EQ(read("service=unknown").code(), "service_not_found");
  EXPECT_EQ(read("group_id=0190a000-0000-7000-8000-000000000009").code(), "deployment_not_found");
  // What is asked of the agent, and in which words.
  start(id);
  agent.script.logs = kEnd;
  cp.http.set_answer([this](const HttpClientRequest& request) {
    asked = request.url;
    return agents.answer(request);
  });
  EXPECT_EQ(read("deployment_id=" + id + "&container=web&since=7d&until=90s&tail=10000&stream=stderr&q=a%20b").status,
            200);
  EXPECT_NE(asked.find("/logs?deployment_id=" + id +
                       "&container=web&since=10080m&until=90s&tail=10000&stream=stderr&q=a%20b"),
            std::string::npos)
      << asked;
  EXPECT_EQ(read("deployment_id=" + id).status, 200);
  EXPECT_NE(asked.find("since=5m&tail=200"), std::string::npos) << asked;
}

// covers: S03_LOG_002 (container logs)
TEST_F(ContainerLogsTest, S03_LOG_002_credentials_in_lines_are_masked) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const std::string secret = "ee_live_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";
  agent.script.logs =
      line_of("01.000", "key " + secret + " used") + line_of("02.000", "\\u001b[31mred\\r\\nnext") + kEnd;
  for (const char* format : {"json", "ndjson", "text"}) {
    const TestAnswer answer = read("deployment_id=" + id + "&format=" + format);
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body.find(secret.substr(40)), std::string::npos) << answer.body;
    EXPECT_EQ(answer.body.find('\x1b'), std::string::npos) << "nothing steers a terminal";
  }
  const std::string plain = read("deployment_id=" + id + "&format=text").body;
  EXPECT_EQ(plain,
            "2026-01-01T00:00:01.000Z web: key ee_live_abcdefghijklmnop_*** used\n"
            "2026-01-01T00:00:02.000Z web: ?[31mred??next\n");
  const std::string ndjson = read("deployment_id=" + id + "&format=ndjson").body;
  EXPECT_TRUE(ndjson.ends_with("{\"end\":true,\"truncated\":false,\"dropped\":0,\"errors\":[]}\n")) << ndjson;
  EventReader reader = follow(id);
  const auto call = answered(0, agent);
  ASSERT_TRUE(call);
  FakeHttpStreams::bytes(*call, line_of("01.000", "key " + secret + " used"));
  ASSERT_TRUE(reader.wait_for("used"));
  EXPECT_EQ(reader.text().find(secret.substr(40)), std::string::npos);
}

TEST_F(ContainerLogsTest, FollowsAnAgentOverItsStreamsAndSaysEachLineOnce) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  EventReader reader = follow(id, "?since=1h&container=web");
  auto call = answered(0, agent);
  ASSERT_TRUE(call);
  EXPECT_NE(call->request.url.find("since=3600s&tail=200&follow=true"), std::string::npos) << call->request.url;
  EXPECT_LE(call->request.total_timeout, Seconds(310));
  // Cut anywhere.
  const std::string first = line_of("01.000", "one") + line_of("02.000", "two") + line_of("02.000", "two");
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, first.substr(0, 30)));
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, first.substr(30)));
  ASSERT_TRUE(reader.wait_for("\"two\""));
  EXPECT_NE(reader.text().find(R"("agent_id":")" + agent.id()), std::string::npos);
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, kEnd));
  FakeHttpStreams::end(*call);
  // Opened again where it was: what has that very time comes once more and is not said again.
  call = answered(1, agent);
  ASSERT_TRUE(call);
  EXPECT_NE(call->request.url.find("since=2026-01-01T00%3A00%3A02.000Z&tail=10000"), std::string::npos)
      << call->request.url;
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, line_of("02.000", "two") + line_of("02.000", "two") +
                                                line_of("02.000", "two") + line_of("02.000", "new") +
                                                line_of("03.000", "three")));
  ASSERT_TRUE(reader.wait_for("\"three\""));
  EXPECT_EQ(reader.count("\"one\""), 1U);
  EXPECT_EQ(reader.count("\"two\""), 3U) << "three were written";
  EXPECT_EQ(reader.count("\"new\""), 1U);
  EXPECT_EQ(reader.count("event: error"), 0U);

  // It dies in the middle: said once, tried again with pauses that grow.
  FakeHttpStreams::end(*call, HttpFailure::protocol);
  ASSERT_TRUE(reader.wait_for("event: error"));
  EXPECT_NE(reader.text().find(R"({"agent_id":")" + agent.id() + R"(","code":"agent_bad_response"})"),
            std::string::npos);
  call = next_call(2);
  ASSERT_TRUE(call);
  FakeHttpStreams::end(*call, HttpFailure::connect);
  cp.clock.advance(Seconds(1));
  EXPECT_EQ(streams.count(), 3U);
  call = answered(3, agent);
  ASSERT_TRUE(call);
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, line_of("04.000", "four")));
  ASSERT_TRUE(reader.wait_for("\"four\""));
  EXPECT_EQ(reader.count("event: error"), 1U);

  // The deployment ends, and so does the stream, behind its last lines.
  ASSERT_TRUE(FakeHttpStreams::bytes(*call, line_of("05.000", "bye")));
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  reconcile();
  const std::jthread time([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(Milliseconds(5))) cp.clock.advance(Milliseconds(500));
  });
  ASSERT_TRUE(reader.wait_for("\"bye\""));
  ASSERT_TRUE(reader.wait_for("event: end"));
  EXPECT_NE(reader.rest().find(R"({"reason":"done"})"), std::string::npos);
  EXPECT_TRUE(streams.abandoned(call)) << "the agent's stream is given up";
}

TEST_F(ContainerLogsTest, AFollowerThatGoesAwayLeavesNothingBehind) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  {
    EventReader reader = follow(id);
    const auto call = answered(0, agent);
    ASSERT_TRUE(call);
    ASSERT_TRUE(reader.wait_for("\r\n\r\n"));
    reader.close();
    EXPECT_TRUE(streams.abandoned(call));
  }
  // Four at once, and a fifth when one has gone.
  std::vector<std::unique_ptr<EventReader>> readers;
  for (std::size_t i = 1; i <= 4; ++i) {
    readers.push_back(std::make_unique<EventReader>(follow(id)));
    ASSERT_TRUE(streams.call(i));
  }
  const std::string path = "/api/v1/deployments/" + id + "/logs?follow=true";
  EXPECT_EQ(as(account.key, "GET", path).code(), "too_many_followers");
  EXPECT_EQ(as(account.key, "GET", "/api/v1/logs/containers?follow=true&service=web").code(), "too_many_followers");
  readers.pop_back();
  ASSERT_TRUE(streams.abandoned(streams.call(4)));
  int status = 0;
  for (int i = 0; i < 500 && status != 200; ++i) {
    status = as(account.key, "GET", path).status;
    cp.clock.advance(Seconds(2));  // calls of one account are counted by the minute
  }
  EXPECT_EQ(status, 200);
}

TEST_F(ContainerLogsTest, AFollowedAgentIsBelievedInNothingEither) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  const auto error_after = [&](std::vector<HttpHeader> headers, const std::string& bytes, int status = 200) {
    EventReader reader = follow(id);
    const auto call = next_call(streams_used);
    EXPECT_TRUE(call);
    if (!call) return std::string();
    if (FakeHttpStreams::head(*call, status, std::move(headers))) {
      EXPECT_FALSE(FakeHttpStreams::bytes(*call, bytes)) << "the stream is ended";
    }
    EXPECT_TRUE(reader.wait_for("event: error"));
    reader.close();
    EXPECT_TRUE(nobody_follows());
    streams_used = streams.count();
    const std::size_t at = reader.text().find("\"code\":\"");
    return at == std::string::npos ? "" : reader.text().substr(at + 8, reader.text().find('"', at + 8) - at - 8);
  };
  const HttpHeader own{"X-EE-Agent", agent.id()};
  const HttpHeader ndjson{"Content-Type", "application/x-ndjson"};
  EXPECT_EQ(error_after({own, {"Content-Type", "text/html"}}, "<html>"), "agent_bad_response");
  EXPECT_EQ(error_after({ndjson}, line_of("01.000", "a")), "agent_bad_response");
  EXPECT_EQ(error_after({{"X-EE-Agent", "somebody"}, ndjson}, ""), "agent_bad_response");
  EXPECT_EQ(error_after({own, ndjson}, "", 503), "agent_unreachable");
  EXPECT_EQ(error_after({own, ndjson}, "<html>\n"), "agent_bad_response");
  EXPECT_EQ(error_after({own, ndjson}, std::string(200'000, 'x')), "agent_bad_response") << "a line without an end";
  EXPECT_EQ(error_after({own, ndjson}, kEnd + line_of("01.000", "a")), "agent_bad_response");
}

TEST_F(ContainerLogsTest, OfWhatHasEndedTheEndIsKept) {
  FakeAgent& agent = join();
  const std::string id = deploy_one();
  start(id);
  ASSERT_EQ(agent.report(agent_api::WorkloadPhase::failed, "container_exited").status, 200);
  reconcile();
  ASSERT_EQ(state(id), "failed");
  const std::string path = "/api/v1/deployments/" + id + "/logs";
  EXPECT_EQ(as(account.key, "GET", path + "?follow=true").code(), "logs_gone");
  cp.execute("UPDATE deployments SET log_tail=:tail WHERE id=:id",
             {{"tail", to_base64(bytes_of(std::string_view("web: it broke\n")))}, {"id", id}});
  EventReader reader = follow(id);
  ASSERT_TRUE(reader.wait_for("event: end"));
  EXPECT_EQ(reader.count("it broke"), 1U);
  EXPECT_EQ(streams.count(), 0U);
}

TEST(AgentFeed, KeepsABoundedNumberOfLinesAndCountsTheRest) {
  const AgentId agent("0190a000-0000-7000-8000-0000000000a1");
  cp::AgentFeed feed(agent, [] {});
  ASSERT_TRUE(feed.head(
      {.status = 200, .headers = {{"x-ee-agent", agent.str()}, {"content-type", "application/x-ndjson; charset=x"}}}));
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(feed.bytes(line_of("01.000", std::to_string(i))));
  auto taken = feed.take();
  EXPECT_EQ(taken.lines.size(), 1000U);
  EXPECT_EQ(taken.lost, 500);
  EXPECT_EQ(taken.lines.back().line.line, "1499");
  const std::string big(16'000, 'x');
  for (int i = 0; i < 80; ++i) ASSERT_TRUE(feed.bytes(line_of("01.000", big)));
  taken = feed.take();
  EXPECT_LE(taken.lines.size() * big.size(), cp::AgentFeed::kMaxBytes);
  EXPECT_EQ(taken.lost + static_cast<std::int64_t>(taken.lines.size()), 80);
  EXPECT_EQ(taken.phase, cp::AgentFeed::Phase::open);
}

}  // namespace
}  // namespace ee::testing
