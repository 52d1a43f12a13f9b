// The limits of a deploy request: at, below, above.
#include "cp/deployment_fixture.h"

namespace ee::testing {
namespace {

class DeploymentLimitsTest : public DeploymentFixture {};

/// `count` members `name<i>: value`, or items of a list, with the first `{}` of `form` replaced by the number.
std::string many(int count, const std::string& form) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    std::string one = form;
    one.replace(one.find("{}"), 2, std::to_string(i));
    out += (i == 0 ? "" : ",") + one;
  }
  return out;
}

// covers: S03_DEP_004
TEST_F(DeploymentLimitsTest, EachLimitHoldsExactly) {
  const auto code = [&](const std::string& body) {
    cp.clock.advance(Seconds(2));
    const TestAnswer answer = as(account.key, "POST", "/api/v1/deploy/preflight", body);
    return answer.status == 200 ? "ok" : answer.code();
  };
  const auto x = [](std::size_t count) { return std::string(count, 'x'); };
  const auto with = [](const std::string& name, const std::string& value) { return "\"" + name + "\":" + value; };
  const auto text_of = [&](const std::string& name, const std::string& value) {
    return with(name, "\"" + value + "\"");
  };
  const auto env = [&](const std::string& members) { return with("env", "{" + members + "}"); };
  const auto secrets = [&](const std::string& members) { return with("secrets", "{" + members + "}"); };
  const auto rules = [&](const std::string& items) { return with("ingress", "[" + items + "]"); };
  const auto placed = [&](const std::string& items) { return with("placement", R"({"datacenters":[)" + items + "]}"); };
  EXPECT_EQ(code(R"({"service":"web"})"), "workload_source") << "neither";
  EXPECT_EQ(code(raw(R"("app":"a","version":"1")")), "workload_source") << "both";
  EXPECT_EQ(code(raw(R"("what":1)")), "invalid_request");
  struct Limit {
    std::string good;
    std::string bad;
  };
  const std::vector<Limit> limits = {
      {with("replicas", "1"), with("replicas", "0")},
      {with("replicas", "8"), with("replicas", "9")},
      {with("ttl_seconds", "300"), with("ttl_seconds", "299")},
      {with("ttl_seconds", "31536000"), with("ttl_seconds", "31536001")},
      {with("ttl_seconds", "null"), with("ttl_seconds", "0")},
      {with("deploy_timeout_seconds", "60"), with("deploy_timeout_seconds", "59")},
      {with("deploy_timeout_seconds", "7200"), with("deploy_timeout_seconds", "7201")},
      {with("wait_for_capacity_seconds", "0"), with("wait_for_capacity_seconds", "-1")},
      {with("wait_for_capacity_seconds", "3600"), with("wait_for_capacity_seconds", "3601")},
      {text_of("health_path", "/" + x(255)), text_of("health_path", "/" + x(256))},
      {placed(many(32, R"("gcp:us-{}")")), placed(many(33, R"("gcp:us-{}")"))},
      {env(many(128, R"("A{}":"x")")), env(many(129, R"("A{}":"x")"))},
      {env(text_of("A" + x(63), "v")), env(text_of("A" + x(64), "v"))},
      {env(text_of("A", x(4096))), env(text_of("A", x(4097)))},
      {env(many(8, "\"A{}\":\"" + x(4094) + "\"")), env(many(8, "\"A{}\":\"" + x(4094) + "\"") + R"(,"B":"")")},
      {secrets(many(64, R"("A{}":"x")")), secrets(many(65, R"("A{}":"x")"))},
      {secrets(text_of("A", x(16384))), secrets(text_of("A", x(16385)))},
      {secrets(many(4, "\"A{}\":\"" + x(16384) + "\"")),
       secrets(many(4, "\"A{}\":\"" + x(16384) + "\"") + R"(,"B":"x")")},
      {rules(many(8, R"({"path_prefix":"/{}","port":8080})")), rules(many(9, R"({"path_prefix":"/{}","port":8080})"))},
      {rules(R"({"path_prefix":"/)" + x(127) + R"(","port":8080})"),
       rules(R"({"path_prefix":"/)" + x(128) + R"(","port":8080})")},
  };
  for (const Limit& limit : limits) {
    EXPECT_EQ(code(raw(limit.good)), "ok") << limit.good.substr(0, 100);
    EXPECT_EQ(code(raw(limit.bad)), "invalid_request") << limit.bad.substr(0, 100);
  }
  EXPECT_EQ(code(raw("", x(63))), "ok");
  EXPECT_EQ(code(raw("", x(64))), "invalid_request");
  for (const char* port : {"1", "65535"})
    EXPECT_EQ(code(raw(rules(std::string(R"({"path_prefix":"/","port":)") + port + "}"))), "ingress_port_unpublished");

  const auto of_size = [&](std::size_t size) {
    const std::string head =
        "services:\\n  web:\\n    image: nginx@" + std::string(kDigest) + "\\n    ports: [\\\"8080:8080\\\"]\\n#";
    std::size_t escapes = 0;
    for (const char c : head) escapes += c == '\\' ? 1 : 0;
    return R"({"service":"web","compose":")" + head + x(size - (head.size() - escapes)) + "\"}";
  };
  EXPECT_EQ(code(of_size(65536)), "ok");
  EXPECT_NE(code(of_size(65537)), "ok");
}

}  // namespace
}  // namespace ee::testing
