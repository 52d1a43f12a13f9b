#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/deployment_document.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

/// How a fake agent behaves when it is called.
struct FakeAgentScript {
  int put_status = 0;         ///< 0: as an agent would; else this refusal
  int delete_status = 0;      ///< the same
  bool unreachable = false;   ///< no connection
  bool drop_answer = false;   ///< the effect happens, the answer is lost
  bool anonymous = false;     ///< answers without `X-EE-Agent`, as a workload would
  bool stops_at_once = true;  ///< DELETE: 204; else 202 and it goes on stopping
  std::string logs = {};      ///< NDJSON that it answers; empty: 404
  std::string logs_type = "application/x-ndjson";
  bool logs_break_off = false;  ///< the connection breaks after `logs`
  int evidence_status = 200;
  std::string evidence = {};  ///< JSON that it answers; empty: 404
};

/// An agent without a VM: registers with emulated evidence, takes documents by push or pull, checks their signature and
/// its own sealed values, and "runs" what the test tells it to. In process: FakeAgents hands the control plane's calls
/// to it. Every request is recorded.
class FakeAgent {
 public:
  FakeAgent(TestControlPlane& cp, int number);

  /// A new boot: new keys, new boot id.
  TestAnswer register_agent(bool with_workload = false);
  /// Registers and beats until it can be placed.
  void join();
  /// Nothing else to say than that it is well, and what it runs.
  TestAnswer beat();
  TestAnswer status(const std::optional<agent_api::WorkloadReport>& workload);
  /// Takes the document of the present assignment, if there is one.
  std::optional<agent_api::DeploymentDocument> pull();
  /// Moves what it holds to a phase and tells.
  TestAnswer report(agent_api::WorkloadPhase phase, const std::string& failure = "");
  TestAnswer deployed(const std::map<std::string, std::string>& digests);
  /// What it would say of what it holds; nothing when it holds nothing.
  std::optional<agent_api::WorkloadReport> workload(agent_api::WorkloadPhase phase) const;
  void drop() { held_.reset(); }
  /// Moves what it holds to a phase and tells nobody yet.
  void become(agent_api::WorkloadPhase phase) { phase_ = phase; }
  void reboot();

  /// A call of the control plane to this agent.
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request);

  const std::string& id() const { return id_; }
  const std::string& credential() const { return credential_; }
  const std::string& name() const { return agent_->vm_name(); }
  const std::string& url() const { return url_; }
  const std::optional<agent_api::DeploymentDocument>& held() const { return held_; }
  /// The payload of the held document's `secrets`, opened.
  std::string secrets() const;
  std::vector<std::string> requests() const;  ///< `PUT /.easyenclave/v1/deployment`, ...

  FakeAgentScript script;
  std::string node_size = "tiny";
  std::string datacenter = "baremetal:local";
  std::string version = "2.0.0";
  bool healthy = true;
  agent_api::WorkloadHealth workload_health = agent_api::WorkloadHealth::healthy;

 private:
  TestAnswer post(const std::string& path, const std::string& body);
  bool take(const std::string& body, std::string_view kid, std::string_view signature);

  TestControlPlane& cp_;
  SystemRandom random_;
  std::unique_ptr<EmulatedAgent> agent_;
  std::string url_;
  std::string id_;
  std::string registration_id_;
  std::string credential_;
  std::string boot_id_;
  std::int64_t seq_ = 0;
  agent_api::WorkloadPhase phase_ = agent_api::WorkloadPhase::accepted;
  std::vector<agent_api::SigningKey> trusted_;
  std::optional<agent_api::DeploymentDocument> held_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
};

/// Leads the control plane's calls to the fake agents by their addresses.
class FakeAgents {
 public:
  explicit FakeAgents(TestControlPlane& cp);
  FakeAgent& add();
  FakeAgent& at(std::size_t index) { return *agents_.at(index); }
  std::size_t size() const { return agents_.size(); }
  FakeAgent& by_id(const std::string& id);
  /// What the agent of that address answers; nobody else is there.
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request);

 private:
  TestControlPlane& cp_;
  std::vector<std::unique_ptr<FakeAgent>> agents_;
};

}  // namespace ee::testing
