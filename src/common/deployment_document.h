#pragma once
/// What the control plane and the agent say to each other about a deployment: the document (02 section 6.1), what is
/// sealed in it (02 section 1.1), the report of a running workload (02 section 6.3). The same bytes travel by pull and
/// by push, signed as kind `deployment` (common/signatures.h).
#include <array>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/agent_api.h"
#include "common/json_type.h"
#include "common/time.h"

namespace ee::agent_api {

constexpr std::size_t kMaxDocumentBytes = 512UL * 1024;
constexpr std::size_t kMaxResolvedComposeBytes = 320UL * 1024;
constexpr std::size_t kMaxSealedSecrets = 64;
constexpr std::size_t kMaxSealedSecretBytes = 64UL * 1024;  ///< of all values together
constexpr std::size_t kMaxRegistryCredentials = 16;
inline constexpr std::string_view kDeploymentKind = "deployment";  ///< of the signature

std::string secrets_seal_context(std::string_view agent_id, std::string_view deployment_id, std::int64_t epoch,
                                 std::int64_t revision);
std::string registry_seal_context(std::string_view agent_id, std::string_view deployment_id, std::int64_t epoch,
                                  std::int64_t revision);

/// Forms: `/...` without `..`; "" or a path; the name of a secret, which may be a file name.
bool is_path_prefix(std::string_view text);
bool is_health_path(std::string_view text);
bool is_sealed_name(std::string_view text);

/// Requests whose path begins with `path_prefix` go to the published host port; the longest prefix wins.
struct IngressRule {
  std::string path_prefix;
  std::int64_t port = 0;
  bool operator==(const IngressRule&) const = default;
};
BOOST_DESCRIBE_STRUCT(IngressRule, (), (path_prefix, port))
constexpr auto json_rules(json::For<IngressRule>) {
  return std::array{json::field("path_prefix").matching(is_path_prefix, "^/").length(1, 128),
                    json::field("port").between(1, 65535)};
}
constexpr std::string_view json_name(json::For<IngressRule>) { return "DeploymentIngress"; }

/// Who may call the workload. `public` needs no assertion of the proxy.
enum class WorkloadAccess : std::uint8_t { public_, account, token };
BOOST_DESCRIBE_ENUM(WorkloadAccess, public_, account, token)

/// The signed document of one revision of a deployment.
struct DeploymentDocument {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  std::string service;
  std::optional<std::string> app = {};  ///< null: a raw deployment
  std::string compose;                  ///< resolved compose: RFC 8785 text, hashed as it stands here
  std::string compose_sha256;
  std::map<std::string, std::string> env = {};
  std::optional<Sealed> secrets = {};        ///< opens to a list of SealedSecret
  std::optional<Sealed> registry_auth = {};  ///< opens to a list of RegistryCredential
  std::vector<IngressRule> ingress = {};
  std::string health_path;  ///< empty: a TCP connection is enough
  WorkloadAccess access = WorkloadAccess::account;
  std::int64_t deploy_timeout_seconds = 0;
  std::int64_t stop_grace_seconds = 0;
  UtcTime issued_at;
};
BOOST_DESCRIBE_STRUCT(DeploymentDocument, (),
                      (deployment_id, assignment_epoch, revision, service, app, compose, compose_sha256, env, secrets,
                       registry_auth, ingress, health_path, access, deploy_timeout_seconds, stop_grace_seconds,
                       issued_at))
constexpr auto json_rules(json::For<DeploymentDocument>) {
  return std::array{json::field("deployment_id").uuid(),
                    json::field("assignment_epoch").at_least(0),
                    json::field("revision").at_least(1),
                    json::field("service").dns_label(),
                    json::field("app").dns_label(),
                    json::field("compose").length(2, kMaxResolvedComposeBytes),
                    json::field("compose_sha256").hex(64),
                    json::field("env").items(0, 128).length(0, 4096),
                    json::field("ingress").items(0, 8),
                    json::field("health_path").matching(is_health_path, "^(/.*)?$").length(0, 256),
                    json::field("deploy_timeout_seconds").between(1, 7200),
                    json::field("stop_grace_seconds").between(0, 300)};
}
constexpr std::string_view json_name(json::For<DeploymentDocument>) { return "DeploymentDocument"; }

enum class SecretKind : std::uint8_t { file, env };
BOOST_DESCRIBE_ENUM(SecretKind, file, env)

struct SealedSecret {
  std::string name;
  std::string value_b64;
  SecretKind as = SecretKind::env;
};
BOOST_DESCRIBE_STRUCT(SealedSecret, (), (name, value_b64, as))
constexpr auto json_rules(json::For<SealedSecret>) {
  return std::array{json::field("name").matching(is_sealed_name, "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"),
                    json::field("value_b64").base64(kMaxSealedSecretBytes)};
}

/// What an image is pulled with from one registry.
struct RegistryCredential {
  std::string registry;
  std::string user;
  std::string secret;
};
BOOST_DESCRIBE_STRUCT(RegistryCredential, (), (registry, user, secret))
constexpr auto json_rules(json::For<RegistryCredential>) {
  return std::array{json::field("registry").length(1, 255), json::field("user").length(0, 255),
                    json::field("secret").length(0, 16384)};
}

struct RunningService {
  std::string name;
  std::string image;   ///< reference with its digest
  std::string digest;  ///< `sha256:<hex>`
  std::string container_id;
};
BOOST_DESCRIBE_STRUCT(RunningService, (), (name, image, digest, container_id))
constexpr auto json_rules(json::For<RunningService>) {
  return std::array{json::field("name").dns_label(), json::field("image").length(1, 512),
                    json::field("digest").length(71, 71), json::field("container_id").length(1, 128)};
}
constexpr std::string_view json_name(json::For<RunningService>) { return "RunningService"; }

/// `POST /api/v1/agents/{id}/deployed`; answered like `/status`.
struct DeployedRequest {
  WorkloadReport workload;
  std::vector<RunningService> services;
  UtcTime health_checked_at;
};
BOOST_DESCRIBE_STRUCT(DeployedRequest, (), (workload, services, health_checked_at))
constexpr auto json_rules(json::For<DeployedRequest>) { return std::array{json::field("services").items(1, 16)}; }
constexpr std::string_view json_name(json::For<DeployedRequest>) { return "AgentDeployedRequest"; }

}  // namespace ee::agent_api
