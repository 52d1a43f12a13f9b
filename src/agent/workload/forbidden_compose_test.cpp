#include <fmt/format.h>

#include <boost/json/parse.hpp>

#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using Taken = Reconciler::Taken;

class ForbiddenCompose : public ReconcilerFixture {
 protected:
  /// What a control plane sends that does not check one key of the service.
  std::string tampered(const std::string& key, const std::string& value) {
    auto read = json::read<agent_api::DeploymentDocument>(document({})).value();
    auto compose = boost::json::parse(read.compose);
    compose.as_object()["services"].as_object()["web"].as_object()[key] = boost::json::parse(value);
    read.compose = json::canonical(compose).value();
    read.compose_sha256 = to_hex(sha256(bytes_of(read.compose)));
    return json::write(read);
  }
};

TEST_F(ForbiddenCompose, S02_EEA_WL_002_what_the_rules_forbid_is_refused_by_push_and_fails_by_pull) {
  struct Forbidden {
    std::string key, value, field, code;
  };
  for (const auto& [key, value, field, code] : std::vector<Forbidden>{
           {"privileged", "true", "privileged", "privileged"},
           {"network_mode", "\"host\"", "network_mode", "host_namespace"},
           {"pid", "\"host\"", "pid", "host_namespace"},
           {"ipc", "\"host\"", "ipc", "host_namespace"},
           {"uts", "\"host\"", "uts", "host_namespace"},
           {"userns_mode", "\"host\"", "userns_mode", "host_namespace"},
           {"cgroup_parent", "\"x\"", "cgroup_parent", "host_namespace"},
           {"cap_add", R"(["SYS_ADMIN"])", "cap_add", "privilege"},
           {"security_opt", R"(["no-new-privileges:true","seccomp:unconfined"])", "security_opt", "not_resolved"},
           {"sysctls", R"({"a":"b"})", "sysctls", "privilege"},
           {"runtime", "\"x\"", "runtime", "privilege"},
           {"devices", R"(["/dev/kvm"])", "devices", "device"},
           {"volumes", R"(["/:/host"])", "volumes[0]", "host_mount"},
           {"volumes", R"(["/run/docker.sock:/s"])", "volumes[0]", "host_mount"},
           {"build", "\".\"", "build", "build"},
           {"extra_hosts", R"(["a:1.2.3.4"])", "extra_hosts", "key_not_allowed"},
           {"container_name", "\"x\"", "container_name", "key_not_allowed"},
           {"links", R"(["a"])", "links", "key_not_allowed"},
           {"cgroup", "\"host\"", "cgroup", "host_namespace"},
           {"gpus", "\"all\"", "gpus", "privilege"},
           {"device_cgroup_rules", R"(["c 1:3 mr"])", "device_cgroup_rules", "device"},
           {"restart", "\"always\"", "restart", "key_not_allowed"},
           {"ports", R"(["127.0.0.1:8080:80","127.0.0.1:8088:80"])", "ports[1]", "port"},
           {"ports", R"(["127.0.0.1:8080:80","127.0.0.1:8089:80"])", "ports[1]", "port"},
           {"ports", R"(["127.0.0.1:8080:80","127.0.0.1:80:80"])", "ports[1]", "port"}}) {
    SCOPED_TRACE(fmt::format("{} {}", key, value));
    const auto pushed = take_body(tampered(key, value), DocumentPath::push);
    ASSERT_FALSE(pushed);
    EXPECT_EQ(pushed.error().code, ErrorCode::compose_failed);
    ASSERT_EQ(pushed.error().fields.size(), 1U) << pushed.error().detail;
    EXPECT_TRUE(pushed.error().fields.front().field.ends_with("services.web." + field)) << pushed.error().detail;
    EXPECT_EQ(pushed.error().fields.front().code, code);
  }
  for (const char* key : {"extends", "env_file", "external_links", "volumes_from", "dns", "dns_opt", "dns_search",
                          "pull_policy", "profiles", "develop", "post_start", "pre_stop", "configs", "group_add"}) {
    const auto pushed = take_body(tampered(key, R"(["x"])"), DocumentPath::push);
    ASSERT_FALSE(pushed) << key;
    ASSERT_EQ(pushed.error().fields.size(), 1U) << key << pushed.error().detail;
    EXPECT_TRUE(pushed.error().fields.front().field.ends_with(std::string("services.web.") + key)) << key;
    EXPECT_EQ(pushed.error().fields.front().code, "key_not_allowed") << key;
  }
  ASSERT_EQ(take_body(tampered("privileged", "true"), DocumentPath::pull).value().taken, Taken::accepted)
      << "by pull the failure is reported";
  step();
  EXPECT_EQ(failure_code(), "compose_failed");
  EXPECT_EQ(count_calls("pull"), 0U);
}

// covers: S02_EEA_WL_002
TEST_F(ForbiddenCompose, a_document_whose_compose_hash_is_another_is_refused) {
  auto read = json::read<agent_api::DeploymentDocument>(document({})).value();
  read.compose_sha256 = std::string(64, '0');
  EXPECT_EQ(take_body(json::write(read), DocumentPath::push).error().code, ErrorCode::compose_failed);
}

}  // namespace
}  // namespace ee::agent::testing
