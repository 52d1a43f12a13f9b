#include "common/deployment_document.h"

#include <gtest/gtest.h>

#include "common/json.h"

namespace ee::agent_api {
namespace {

constexpr std::string_view kDocument =
    R"({"deployment_id":"0190a000-0000-7000-8000-0000000000d1","assignment_epoch":4,"revision":2,"service":"hello",)"
    R"("app":null,"compose":"{}","compose_sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",)"
    R"("env":{"A":"b"},"secrets":{"ciphertext":"AAAA"},"registry_auth":null,)"
    R"("ingress":[{"path_prefix":"/","port":8080}],"health_path":"/health","access":"public",)"
    R"("deploy_timeout_seconds":900,"stop_grace_seconds":30,"issued_at":"2026-01-01T00:00:00.000Z"})";

TEST(DeploymentDocument, is_read_and_written_as_it_stands) {
  const auto document = json::read<DeploymentDocument>(kDocument);
  ASSERT_TRUE(document) << document.error().detail;
  EXPECT_EQ(document->access, WorkloadAccess::public_);
  EXPECT_EQ(document->ingress.front().port, 8080);
  EXPECT_EQ(json::write(*document), kDocument);
}

TEST(DeploymentDocument, refuses_what_would_leave_its_place) {
  const auto with = [](std::string_view from, std::string_view to) {
    std::string text(kDocument);
    text.replace(text.find(from), from.size(), to);
    return json::read<DeploymentDocument>(text).has_value();
  };
  EXPECT_FALSE(with(R"("health_path":"/health")", R"("health_path":"/a b")"));
  EXPECT_FALSE(with(R"("health_path":"/health")", R"("health_path":"health")"));
  EXPECT_TRUE(with(R"("health_path":"/health")", R"("health_path":"")"));
  EXPECT_FALSE(with(R"("path_prefix":"/")", R"("path_prefix":"/../x")"));
  EXPECT_FALSE(with(R"("port":8080)", R"("port":0)"));
  EXPECT_FALSE(with(R"("revision":2)", R"("revision":0)"));
  EXPECT_FALSE(with(R"("app":null)", R"("app":null,"more":1)"));
}

TEST(DeploymentDocument, names_of_secrets_are_file_names_that_stay_in_their_folder) {
  for (const char* name : {"A", "db_password", "tls.key", "a-b"}) EXPECT_TRUE(is_sealed_name(name)) << name;
  for (const char* name : {"", ".", "..", "a/b", "../x", "1a", "a b", "a\n"})
    EXPECT_FALSE(is_sealed_name(name)) << name;
}

TEST(DeploymentDocument, seal_contexts_name_agent_deployment_epoch_and_revision) {
  EXPECT_EQ(secrets_seal_context("a", "d", 4, 2), "easyenclave.seal.1:secrets:a:d:4:2");
  EXPECT_EQ(registry_seal_context("a", "d", 4, 2), "easyenclave.seal.1:registry:a:d:4:2");
}

}  // namespace
}  // namespace ee::agent_api
