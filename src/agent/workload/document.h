#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/board.h"
#include "agent/runtime/container_runtime.h"
#include "common/deployment_document.h"
#include "common/error.h"
#include "common/sealed_box.h"
#include "common/secret.h"

namespace ee::agent {

/// A secret of a workload, opened.
struct WorkloadSecret {
  std::string name;
  Secret value;  ///< any bytes
  agent_api::SecretKind as = agent_api::SecretKind::env;
};

/// What was sealed in a document.
struct OpenedSecrets {
  std::vector<WorkloadSecret> secrets = {};
  std::vector<RegistryCredentials> registries = {};

  /// For the host of an image reference; null when there is none.
  const RegistryCredentials* registry(std::string_view host) const;
};

/// The document in `body`, once its signature (kind `deployment`) was found to be by a signer of this registration and
/// for this agent. Errors: body_too_large, signature_invalid, invalid_request.
Result<agent_api::DeploymentDocument> read_document(const Session& session, std::string_view body, std::string_view kid,
                                                    std::string_view signature);

/// Opens both sealed values with the contexts that they must have here. Errors: seal_context_mismatch; invalid_request
/// when the payload is not what it should be.
Result<OpenedSecrets> open_document(const agent_api::DeploymentDocument& document, std::string_view agent_id,
                                    const X25519KeyPair& key);

/// What tells two documents with the same content from two with different ones: a keyed hash over everything that a
/// workload sees or that changes how it is run, secrets included; not over epoch, revision, times and pull
/// credentials. The key stays in memory and tmpfs, since secrets could be guessed from a plain hash.
std::string content_hash(const agent_api::DeploymentDocument& document, const OpenedSecrets& opened, Bytes key);

/// The rule whose prefix covers `path` (decoded, without query) and is the longest; null when none does. A prefix
/// covers whole segments: `/api` covers `/api` and `/api/x`, not `/apix`.
const agent_api::IngressRule* ingress_for(const std::vector<agent_api::IngressRule>& ingress, std::string_view path);

}  // namespace ee::agent
