#pragma once
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/event_streams.h"
#include "cp/http/route.h"
#include "cp/service/authenticator.h"
#include "cp/service/deployment_channel.h"
#include "cp/service/deployment_jobs.h"
#include "cp/service/deployments.h"

namespace ee::cp {

/// Deploying, and everything users do with deployments.
struct DeploymentRoutes {
  Deployments& deployments;
  DeploymentJobs& jobs;
  DeploymentChannel& channel;
  const CursorCodec& cursors;
  EventStreams& streams;  ///< of events that are followed
  Authenticator& authenticator;
  const Clock& clock;
};

void add_deploy_routes(std::vector<Route>& table, DeploymentRoutes& context);
void add_deployment_routes(std::vector<Route>& table, DeploymentRoutes& context);
/// What agents ask and tell: the document, `/status`, `/deployed`.
void add_deployment_agent_routes(std::vector<Route>& table, DeploymentRoutes& context);

struct DeploymentPage {
  std::vector<DeploymentObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(DeploymentPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<DeploymentPage> /*type*/) { return "DeploymentPage"; }

struct MyDeployment {
  std::string relation;                        ///< `deployer` or `agent_owner`
  std::optional<DeploymentObject> deployment;  ///< of a deployer
  std::optional<ReducedDeployment> reduced;    ///< of an agent's owner
};
BOOST_DESCRIBE_STRUCT(MyDeployment, (), (relation, deployment, reduced))
constexpr std::string_view json_name(json::For<MyDeployment> /*type*/) { return "MyDeployment"; }

struct MyDeploymentPage {
  std::vector<MyDeployment> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(MyDeploymentPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<MyDeploymentPage> /*type*/) { return "MyDeploymentPage"; }

struct RevisionPage {
  std::vector<RevisionObject> items;
  std::optional<std::string> next_cursor;  ///< always null: at most 50
};
BOOST_DESCRIBE_STRUCT(RevisionPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<RevisionPage> /*type*/) { return "DeploymentRevisionPage"; }

struct EventPage {
  std::vector<DeploymentEventObject> items;
  std::optional<std::string> next_cursor;  ///< always null: go on with `after_seq`
};
BOOST_DESCRIBE_STRUCT(EventPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<EventPage> /*type*/) { return "DeploymentEventPage"; }

}  // namespace ee::cp
