#pragma once
#include <boost/json/array.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/agent_process.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/e2e/deployer.h"
#include "tests/support/real_engine.h"

namespace ee::testing {

/// Where users' containers really run: the control plane, agents, one container engine and a registry, all of them
/// real programs. What tests ask about the containers is asked of the engine itself.
class Site {
 public:
  using Environment = std::map<std::string, std::string>;

  /// Starts everything and waits until all agents can be placed on. `environment` is of the control plane. Throws when
  /// something does not start; check `RealEngine::start` before.
  Site(std::unique_ptr<RealEngine> engine, int agents, Environment environment = {});
  /// Containers may be left; the engine is removed with all that it has.
  ~Site();

  RealEngine& engine() { return *engine_; }
  ControlPlaneProcess& control_plane() { return *control_plane_; }
  const std::string& admin() const { return admin_; }
  std::vector<std::unique_ptr<AgentProcess>>& agents() { return agents_; }
  AgentProcess& agent_named(const std::string& vm_name);
  /// What an administrator gets; throws when the status is another.
  boost::json::value as_admin(int status, const std::string& method, const std::string& path,
                              const std::string& body = "", std::vector<HttpHeader> more = {});
  /// How many agents match this query.
  std::size_t count_agents(const std::string& query);

  /// Names of the containers in this state (`running`, `exited`, `created`), sorted; empty: of all.
  std::vector<std::string> containers(const std::string& state = "") const;
  std::size_t networks() const;
  std::size_t volumes() const;
  boost::json::value inspect(const std::string& container) const;
  /// Name and time of start of each container that was started.
  std::map<std::string, std::string> started() const;
  /// What is left of workloads: containers, networks, volumes, files of secrets, rules of the packet filter; one line
  /// each. Empty when nothing is.
  std::string leftovers() const;

  /// Lets the containers of services named `store` get healthy, those that run now.
  void open_gates() const;
  /// Output of all programs, for messages.
  std::string logs() const;
  /// SIGTERM to all; true when each ended with 0.
  bool stop();

 private:
  std::unique_ptr<RealEngine> engine_;
  std::unique_ptr<ControlPlaneProcess> control_plane_;
  std::string admin_;
  std::vector<std::unique_ptr<AgentProcess>> agents_;
};

/// A compose document of two services. `web` answers HTTP at `port` and WebSockets at `port + 1`, and is started when
/// `store` is healthy: when the test opens its gate, after each of its starts anew.
struct TwoServices {
  std::string image;        ///< of both
  std::uint16_t port = 0;   ///< and the next one
  std::string page;         ///< what `GET /` answers, less its end of line
  bool broken = false;      ///< `store` ends with an error instead
  std::string secret = {};  ///< name of a file secret of `web`
  std::string text() const;
};

}  // namespace ee::testing
