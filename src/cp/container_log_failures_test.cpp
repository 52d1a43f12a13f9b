// Lines of containers whose agent fails while it tells them (03 section 10.2).
#include <boost/json.hpp>

#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

std::string line_of(const std::string& at, const std::string& text) {
  return R"({"at":"2026-01-01T00:00:)" + at + R"(Z","container":"web","stream":"stdout","line":")" + text + "\"}\n";
}
const std::string kEnd = "{\"end\":true,\"dropped\":0}\n";

class ContainerLogFailuresTest : public DeploymentFixture {
 protected:
  using Texts = std::vector<std::string>;
  TestAnswer read(const std::string& query) { return as(account.key, "GET", "/api/v1/logs/containers?" + query); }
  static Texts lines(const boost::json::value& page) {
    Texts out;
    for (const auto& item : page.at("items").as_array()) out.push_back(text(item, "line"));
    return out;
  }
};

// covers: S03_LOG_004
TEST_F(ContainerLogFailuresTest, S03_LOG_004_keeps_what_an_agent_gave_before_it_failed) {
  for (int i = 0; i < 3; ++i) agents.add().join();
  const TestAnswer answer = deploy(raw(R"("replicas":3)"));
  ASSERT_EQ(answer.status, 201) << answer.body;
  const std::string group = text(body_of(answer), "group_id");
  std::vector<std::string> ids;
  for (const auto& one : body_of(answer).at("deployments").as_array()) ids.push_back(text(one, "id"));
  for (const std::string& id : ids) start(id);
  agent_of(ids[0]).script.logs = line_of("01.000", "a1") + line_of("05.000", "a5") + kEnd;
  agent_of(ids[1]).script.logs = line_of("02.000", "b2") + line_of("04.000", "b4") + R"({"at":"2026-01-01T)";
  agent_of(ids[1]).script.logs_break_off = true;
  agent_of(ids[2]).script.logs = line_of("03.000", "c3");  // no end
  const auto page = body_of(read("group_id=" + group));
  EXPECT_EQ(lines(page), (Texts{"a1", "b2", "c3", "b4", "a5"}));
  std::map<std::string, std::string> errors;
  for (const auto& error : page.at("errors").as_array()) errors[text(error, "agent_id")] = text(error, "code");
  EXPECT_EQ(errors, (std::map<std::string, std::string>{{agent_of(ids[1]).id(), "agent_unreachable"},
                                                        {agent_of(ids[2]).id(), "agent_bad_response"}}));
  const TestAnswer alone = read("deployment_id=" + ids[1]);
  EXPECT_EQ(alone.status, 200) << alone.body;
  EXPECT_EQ(lines(body_of(alone)), (Texts{"b2", "b4"}));
  agent_of(ids[1]).script.logs = R"({"at":"2026-01-01T)";
  EXPECT_EQ(read("deployment_id=" + ids[1]).code(), "agent_unreachable") << "nothing came";
  agent_of(ids[1]).script.logs = line_of("02.000", "b2");
  agent_of(ids[1]).script.anonymous = true;
  EXPECT_EQ(read("deployment_id=" + ids[1]).code(), "agent_bad_response") << "somebody else's lines are none";
}

}  // namespace
}  // namespace ee::testing
