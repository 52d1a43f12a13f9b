#pragma once
#include "cp/account_fixture.h"
#include "tests/support/fake_agent.h"

namespace ee::testing {

/// A control plane, an account with funds, and fake agents.
class DeploymentFixture : public AccountFixture {
 protected:
  static constexpr const char* kDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

  static TestControlPlane::Options options() {
    return {
        .environment = {{"EE_SECRETS_KEY", to_base64(ByteArray<32>{1, 2, 3})}, {"EE_CLOUDFLARE_TUNNEL_MODE", "none"}}};
  }
  explicit DeploymentFixture(TestControlPlane::Options wanted = options())
      : AccountFixture(std::move(wanted)), agents(cp) {
    account = make("acme");
    fund(account, 1'000'000'000);
  }

  void fund(const Made& whom, std::int64_t micros) {
    cp.execute("UPDATE accounts SET credit_limit_micros=:limit WHERE id=:id", {{"limit", micros}, {"id", whom.id}});
  }
  static std::string compose(const std::string& image = std::string("nginx@") + kDigest) {
    return R"(services:\n  web:\n    image: )" + image + R"(\n    ports: [\"8080:8080\"]\n)";
  }
  /// A raw request; `more` are further members.
  static std::string raw(const std::string& more = "", const std::string& service = "web") {
    return R"({"service":")" + service + R"(","compose":")" + compose() + "\"" + (more.empty() ? "" : "," + more) + "}";
  }
  TestAnswer deploy(const std::string& body, std::vector<HttpHeader> headers = {}) {
    cp.clock.advance(Seconds(2));
    return as(account.key, "POST", "/api/v1/deploy", body, std::move(headers));
  }
  /// Deploys and answers the id of the first; the agents know nothing yet.
  std::string deploy_one(const std::string& more = "", const std::string& service = "web") {
    const TestAnswer answer = deploy(raw(more, service));
    if (answer.status != 201) throw std::runtime_error("deploy: " + answer.body);
    return text(body_of(answer).at("deployments").at(0), "id");
  }
  boost::json::value get(const std::string& id) {
    const TestAnswer answer = as(account.key, "GET", "/api/v1/deployments/" + id);
    if (answer.status != 200) throw std::runtime_error("get: " + answer.body);
    return body_of(answer);
  }
  std::string state(const std::string& id) {
    return cp.values<std::string>("SELECT state FROM deployments WHERE id=:id", {{"id", id}}).at(0);
  }
  template <class T>
  T column(const std::string& id, const std::string& name) {
    return cp.values<T>("SELECT " + name + " FROM deployments WHERE id=:id", {{"id", id}}).at(0);
  }
  std::string agent_status(const FakeAgent& agent) {
    return cp.values<std::string>("SELECT status FROM agents WHERE id=:id", {{"id", agent.id()}}).at(0);
  }
  FakeAgent& agent_of(const std::string& id) { return agents.by_id(column<std::string>(id, "agent_id")); }
  /// A pass of a job; the clock moves so that nothing is due in the same moment.
  cp::JobSummary run(const std::string& job) {
    auto done = cp.app().run_job(job);
    if (!done) throw std::runtime_error(job + ": " + done.error().detail);
    return std::move(*done);
  }
  void reconcile() { run("deployment_reconciler"); }
  /// From `assigned` to `running`, by push.
  void start(const std::string& id) {
    reconcile();
    FakeAgent& agent = agent_of(id);
    ASSERT_EQ(agent.report(agent_api::WorkloadPhase::pulling).status, 200);
    const TestAnswer answer = agent.report(agent_api::WorkloadPhase::running);
    ASSERT_EQ(answer.status, 200) << answer.body;
    ASSERT_EQ(state(id), "running");
  }
  std::int64_t open_segments(const std::string& id) {
    return cp
        .values<std::int64_t>("SELECT COUNT(*) FROM deployment_segments WHERE deployment_id=:id AND to_at IS NULL",
                              {{"id", id}})
        .front();
  }
  /// What must hold at any time: one deployment per agent, one open segment at most and of those that run alone,
  /// events without a gap.
  void expect_sound() {
    const auto none = [&](const std::string& sql) { EXPECT_EQ(cp.values<std::int64_t>(sql).front(), 0) << sql; };
    none(
        "SELECT COUNT(*) FROM deployments WHERE (slot_held=1)<>(state NOT IN "
        "('pending','stopped','failed','terminated'))");
    none(
        "SELECT COUNT(*) FROM deployments d WHERE slot_held=1 AND NOT EXISTS (SELECT 1 FROM agents a WHERE "
        "a.id=d.agent_id AND a.current_deployment_id=d.id AND a.assignment_epoch=d.assignment_epoch)");
    none(
        "SELECT COUNT(*) FROM deployment_segments s JOIN deployments d ON d.id=s.deployment_id WHERE s.to_at IS NULL "
        "AND d.state NOT IN ('running','updating')");
    none(
        "SELECT COUNT(*) FROM deployments d WHERE state IN ('running','updating') AND NOT EXISTS (SELECT 1 FROM "
        "deployment_segments s WHERE s.deployment_id=d.id AND s.to_at IS NULL)");
    none(
        "SELECT COUNT(*) FROM (SELECT deployment_id FROM deployment_events GROUP BY deployment_id HAVING "
        "MAX(seq)<>COUNT(*)) AS gaps");
    none(
        "SELECT COUNT(*) FROM deployment_secrets s JOIN deployments d ON d.id=s.deployment_id WHERE d.ended_at IS NOT "
        "NULL");
  }

  FakeAgents agents;
  Made account;
};

}  // namespace ee::testing
