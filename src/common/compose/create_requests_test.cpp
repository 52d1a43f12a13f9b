#include "common/compose/create_requests.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <sstream>

#include "common/compose/start_order.h"
#include "common/json.h"
#include "common/json_jcs.h"
#include "tests/support/compose_cases.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;

std::string contents(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

bj::array texts(const std::vector<std::string>& from) {
  bj::array out;
  for (const std::string& text : from) out.emplace_back(text);
  return out;
}

const char* name_of(Condition condition) {
  switch (condition) {
    case Condition::service_started: return "service_started";
    case Condition::service_healthy: return "service_healthy";
    case Condition::service_completed_successfully: return "service_completed_successfully";
  }
  return "";
}

const char* name_of(CreateContainer::Health health) {
  switch (health) {
    case CreateContainer::Health::image: return "image";
    case CreateContainer::Health::file: return "file";
    case CreateContainer::Health::disabled: return "disabled";
  }
  return "";
}

bj::object json_of(const CreateContainer& from) {
  bj::array connect;
  for (const ConnectNetwork& network : from.connect)
    connect.push_back(bj::object{{"name", network.name}, {"aliases", texts(network.aliases)}});
  bj::object depends_on;
  for (const Dependency& dependency : from.depends_on) depends_on[dependency.service] = name_of(dependency.condition);
  return {{"service", from.service},
          {"image", from.image},
          {"body", from.body},
          {"secret_env", texts(from.secret_env)},
          {"connect", connect},
          {"depends_on", depends_on},
          {"health", name_of(from.health)},
          {"stop_seconds", from.stop_seconds}};
}

bj::value json_of(const Plan& plan) {
  bj::array networks;
  for (const CreateNetwork& network : plan.networks)
    networks.push_back(bj::object{{"name", network.name}, {"internal", network.internal}});
  bj::array containers;
  for (const CreateContainer& container : plan.containers) containers.push_back(json_of(container));
  bj::array levels;
  for (const auto& level : plan.stop_levels) levels.push_back(texts(level));
  return bj::object{
      {"networks", networks}, {"volumes", texts(plan.volumes)}, {"containers", containers}, {"stop_levels", levels}};
}

Plan plan_of(const std::string& file, const RequestNames& request, std::map<std::string, std::string> env) {
  CheckOptions options = testing::options();
  options.request = request;
  const auto checked = check(file, options);
  EXPECT_TRUE(checked) << (checked ? "" : ::testing::PrintToString(testing::breaches_of(checked.error())));
  const auto resolved = resolve(*checked, own_digests(*checked).value());
  const auto again = check_resolved(resolved->compose, options);
  EXPECT_TRUE(again);
  return create_requests(*again, {.prefix = "ee-0123456789ab",
                                  .workload_address = "127.0.0.5",
                                  .secrets_dir = "/run/easyenclave/secrets/d/1",
                                  .vm_memory_mib = 4096,
                                  .env = std::move(env)});
}

struct Golden {
  std::string name;
  RequestNames request = {};
  std::map<std::string, std::string> env = {};
};

// tests/compose/<name>.yml becomes tests/compose/<name>.json. Source of the rows: 02 section 16.2.
TEST(CreateRequests, S02_EEA_WL_006_golden_files) {
  const Golden cases[] = {
      {.name = "least"},
      {.name = "process",
       .request = {.env = {"GIVEN", "LISTED", "OVERRIDDEN"}, .env_secrets = {"TOKEN"}},
       .env = {{"GIVEN", "g"}, {"LISTED", "l$$l"}, {"OVERRIDDEN", "from the request"}}},
      {.name = "network"},
      {.name = "storage", .request = {.file_secrets = {"cert"}}},
      {.name = "limits"},
      {.name = "order", .request = {.env = {"A"}, .env_secrets = {"TOKEN"}}, .env = {{"A", "a"}}},
  };
  for (const Golden& item : cases) {
    const std::string base = "tests/compose/" + item.name;
    const auto plan = json::canonical_with_fractions(json_of(plan_of(contents(base + ".yml"), item.request, item.env)));
    const auto wanted = json::parse(contents(base + ".json"));
    ASSERT_TRUE(wanted) << base;
    EXPECT_EQ(plan, json::canonical_with_fractions(*wanted)) << base;
  }
}

TEST(CreateRequests, NothingOpensTheHost) {
  for (const testing::Case& item : testing::all_cases()) {
    const auto checked = check(item.text, testing::options());
    if (!checked) continue;
    for (const CreateContainer& container :
         create_requests(*checked, {.prefix = "p", .vm_memory_mib = 4096}).containers) {
      const bj::object& host = container.body.at("HostConfig").get_object();
      EXPECT_EQ(host.at("Privileged"), false);
      EXPECT_EQ(container.body.at("Tty"), false);
      for (const char* key : {"Binds", "Links", "PublishAllPorts", "PidMode", "IpcMode", "UTSMode", "UsernsMode",
                              "CapAdd", "Devices", "Sysctls", "Runtime", "VolumesFrom", "CgroupParent", "ExtraHosts"})
        EXPECT_FALSE(host.contains(key)) << key;
      for (const bj::value& mount : host.at("Mounts").get_array())
        if (mount.at("Type") == "bind") {
          EXPECT_TRUE(mount.at("Target").get_string().starts_with("/run/secrets/"));
        }
      EXPECT_TRUE(host.at("NetworkMode").get_string().starts_with("p"));
    }
  }
}

TEST(CreateRequests, ServicesStartAfterWhatTheyWaitForAndStopBefore) {
  const Plan plan =
      plan_of(contents("tests/compose/order.yml"), {.env = {"A"}, .env_secrets = {"TOKEN"}}, {{"A", "a"}});
  std::vector<std::string> order;
  for (const CreateContainer& container : plan.containers) order.push_back(container.service);

  EXPECT_EQ(order, (std::vector<std::string>{"cache", "db", "migrate", "api", "web"}));
  EXPECT_EQ(plan.stop_levels, (std::vector<std::vector<std::string>>{{"web"}, {"api"}, {"migrate"}, {"cache", "db"}}));
}

TEST(StartOrder, FindsTheServicesOfEachCycleAndNoOther) {
  const auto service = [](std::string name, std::vector<std::string> waits) {
    Service out;
    out.name = std::move(name);
    for (std::string& wait : waits) out.depends_on.push_back({.service = std::move(wait)});
    return out;
  };
  const std::vector<Service> services = {service("a", {"b"}), service("b", {"a"}), service("c", {"a"}),
                                         service("d", {"d"}), service("e", {})};

  EXPECT_EQ(services_in_cycles(services), (std::vector<std::string>{"a", "b", "d"}));
  EXPECT_EQ(start_levels(services), (std::vector<std::vector<std::string>>{{"e"}}));
}

TEST(CreateRequests, ASmallMachineStillGivesMemory) {
  const auto checked = check(testing::service_file(""), testing::options());
  ASSERT_TRUE(checked);

  const Plan plan = create_requests(*checked, {.prefix = "p", .vm_memory_mib = 100});

  EXPECT_EQ(plan.containers.at(0).body.at("HostConfig").at("Memory"), 6 << 20);
}

}  // namespace
}  // namespace ee::compose
