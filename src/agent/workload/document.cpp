#include "agent/workload/document.h"

#include <algorithm>
#include <boost/describe/class.hpp>
#include <boost/json/value.hpp>

#include "agent/control_plane_client.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

/// json.h reads objects: a sealed list is read as the member of one.
struct SecretList {
  std::vector<agent_api::SealedSecret> items;
};
BOOST_DESCRIBE_STRUCT(SecretList, (), (items))
constexpr auto json_rules(json::For<SecretList>) {
  return std::array{json::field("items").items(0, agent_api::kMaxSealedSecrets)};
}
struct RegistryList {
  std::vector<agent_api::RegistryCredential> items;
};
BOOST_DESCRIBE_STRUCT(RegistryList, (), (items))
constexpr auto json_rules(json::For<RegistryList>) {
  return std::array{json::field("items").items(0, agent_api::kMaxRegistryCredentials)};
}

template <class List>
Result<List> open_list(const agent_api::Sealed& sealed, std::string_view context, const X25519KeyPair& key) {
  const auto ciphertext = from_base64(sealed.ciphertext);
  if (!ciphertext) return fail(ErrorCode::seal_context_mismatch, "the sealed value is no base64");
  auto opened = open_sealed(context, *ciphertext, key);
  if (!opened) return fail(std::move(opened.error()));
  std::string text = R"({"items":)" + opened->reveal() + "}";
  auto list = json::read<List>(text);
  wipe(text);
  // The error's details may name fields of a secret list; none repeats a value.
  if (!list) return fail(ErrorCode::invalid_request, "the sealed value is not what it should be");
  return std::move(*list);
}

Result<std::vector<WorkloadSecret>> take_secrets(SecretList list) {
  std::vector<WorkloadSecret> out;
  std::size_t total = 0;
  for (agent_api::SealedSecret& item : list.items) {
    auto bytes = from_base64(item.value_b64);
    wipe(item.value_b64);
    if (!bytes) return fail(ErrorCode::invalid_request, "a secret is no base64");
    std::string text(text_of(*bytes));
    std::ranges::fill(*bytes, 0);
    total += text.size();
    const bool twice = std::ranges::find(out, item.name, &WorkloadSecret::name) != out.end();
    const bool unusable = item.as == agent_api::SecretKind::env && text.find('\0') != std::string::npos;
    out.push_back({.name = item.name, .value = Secret(std::move(text)), .as = item.as});
    if (twice) return fail(ErrorCode::invalid_request, "a secret is named twice");
    if (unusable) return fail(ErrorCode::invalid_request, "a secret for the environment holds a zero byte");
  }
  if (total > agent_api::kMaxSealedSecretBytes) return fail(ErrorCode::invalid_request, "secrets are too large");
  return out;
}

}  // namespace

const RegistryCredentials* OpenedSecrets::registry(std::string_view host) const {
  const auto found = std::ranges::find(registries, host, &RegistryCredentials::server);
  return found == registries.end() ? nullptr : &*found;
}

Result<agent_api::DeploymentDocument> read_document(const Session& session, std::string_view body, std::string_view kid,
                                                    std::string_view signature) {
  if (body.size() > agent_api::kMaxDocumentBytes) return fail(ErrorCode::body_too_large, "the document");
  if (auto is_signed = check_body_signature(session.signers, agent_api::kDeploymentKind, session.identity.agent_id,
                                            session.identity.registration_id, body, kid, signature);
      !is_signed)
    return fail(ErrorCode::signature_invalid, "the document is not signed by the control plane for this registration");
  return json::read<agent_api::DeploymentDocument>(body);
}

Result<OpenedSecrets> open_document(const agent_api::DeploymentDocument& document, std::string_view agent_id,
                                    const X25519KeyPair& key) {
  OpenedSecrets out;
  if (document.secrets) {
    auto list = open_list<SecretList>(
        *document.secrets,
        agent_api::secrets_seal_context(agent_id, document.deployment_id, document.assignment_epoch, document.revision),
        key);
    if (!list) return fail(std::move(list.error()));
    auto secrets = take_secrets(std::move(*list));
    if (!secrets) return fail(std::move(secrets.error()));
    out.secrets = std::move(*secrets);
  }
  if (document.registry_auth) {
    auto list = open_list<RegistryList>(*document.registry_auth,
                                        agent_api::registry_seal_context(agent_id, document.deployment_id,
                                                                         document.assignment_epoch, document.revision),
                                        key);
    if (!list) return fail(std::move(list.error()));
    for (agent_api::RegistryCredential& item : list->items)
      out.registries.push_back({.server = std::move(item.registry),
                                .username = std::move(item.user),
                                .password = Secret(std::move(item.secret))});
  }
  return out;
}

std::string content_hash(const agent_api::DeploymentDocument& document, const OpenedSecrets& opened, Bytes key) {
  agent_api::DeploymentDocument content = document;
  content.assignment_epoch = 0;
  content.revision = 1;
  content.secrets.reset();
  content.registry_auth.reset();
  content.access = agent_api::WorkloadAccess::account;  // who may call changes nothing of what runs
  content.issued_at = UtcTime{};
  std::string text = json::write(content);
  std::vector<const WorkloadSecret*> sorted;
  for (const WorkloadSecret& secret : opened.secrets) sorted.push_back(&secret);
  std::ranges::sort(sorted, {}, [](const WorkloadSecret* secret) { return std::string_view(secret->name); });
  for (const WorkloadSecret* secret : sorted) {
    // The hash of each value stands for it, so that no two lists share bytes.
    text += '\n' + secret->name + (secret->as == agent_api::SecretKind::file ? " file " : " env ");
    text += to_hex(hmac_sha256(key, bytes_of(secret->value.reveal())));
  }
  return to_hex(hmac_sha256(key, bytes_of(text)));
}

const agent_api::IngressRule* ingress_for(const std::vector<agent_api::IngressRule>& ingress, std::string_view path) {
  const agent_api::IngressRule* best = nullptr;
  for (const agent_api::IngressRule& rule : ingress) {
    const std::string_view prefix = rule.path_prefix;
    if (!path.starts_with(prefix)) continue;
    const bool whole = prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
    if (whole && (best == nullptr || prefix.size() > best->path_prefix.size())) best = &rule;
  }
  return best;
}

}  // namespace ee::agent
