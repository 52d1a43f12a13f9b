#include "cp/service/deployment_document.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>

#include "common/crypto.h"
#include "common/deployment_document.h"
#include "common/json.h"
#include "common/sealed_box.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kStopGraceSeconds = 30;
constexpr std::size_t kMaxSealed = kMaxSealedPayloadBytes;

Result<ByteArray<32>> sealing_key_of(const AgentRow& agent) {
  const auto raw = from_base64(agent.sealing_key);
  if (!raw || raw->size() != 32) return fail(ErrorCode::internal_error, "a stored sealing key is damaged");
  ByteArray<32> key{};
  std::ranges::copy(*raw, key.begin());
  return key;
}

Result<agent_api::Sealed> sealed_for(const AgentRow& agent, const std::string& context, std::string payload) {
  const auto key = sealing_key_of(agent);
  if (!key) return std::unexpected(key.error());
  if (payload.size() > kMaxSealed) return fail(ErrorCode::internal_error, "secrets are too long to be sealed");
  const auto sealed = seal(context, payload, *key);
  wipe(payload);
  if (!sealed) return std::unexpected(sealed.error());
  return agent_api::Sealed{.ciphertext = to_base64(*sealed)};
}

std::string secrets_payload(const SecretValues& secrets) {
  std::vector<agent_api::SealedSecret> list;
  for (const auto& [name, secret] : secrets)
    list.push_back({.name = name,
                    .value_b64 = to_base64(bytes_of(secret.value.reveal())),
                    .as = secret.as == SecretKind::file ? agent_api::SecretKind::file : agent_api::SecretKind::env});
  return json::write(list);
}

/// Hosts of the images that the document names.
std::set<std::string> image_hosts(const std::string& images) {
  std::set<std::string> hosts;
  const auto parsed = json::parse(images);
  if (!parsed || !parsed->is_object()) return hosts;
  for (const auto& [service, reference] : parsed->as_object())
    if (reference.is_string()) {
      const std::string text(reference.as_string());
      hosts.insert(text.substr(0, text.find('/')));
    }
  return hosts;
}

bool names_account(const boost::json::object& entry, const AccountId& account) {
  const auto* accounts = entry.if_contains("accounts");
  if (accounts == nullptr) return false;
  if (accounts->is_string()) return accounts->as_string() == "*";
  if (!accounts->is_array()) return false;
  return std::ranges::any_of(accounts->as_array(), [&](const boost::json::value& value) {
    return value.is_string() && value.as_string() == account.str();
  });
}

/// Those entries of `registry.credentials` that this account's images need. An entry for somebody else is not used.
std::vector<agent_api::RegistryCredential> credentials_for(const Secret& configured, const std::string& images,
                                                           const AccountId& account) {
  std::vector<agent_api::RegistryCredential> out;
  if (configured.empty()) return out;
  const auto parsed = json::parse(configured.reveal());
  if (!parsed || !parsed->is_object()) return out;
  for (const std::string& host : image_hosts(images)) {
    const auto* entry = parsed->as_object().if_contains(host);
    if (entry == nullptr || !entry->is_object() || !names_account(entry->as_object(), account)) continue;
    const auto text = [&](std::string_view name) {
      const auto* value = entry->as_object().if_contains(name);
      return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    if (out.size() < agent_api::kMaxRegistryCredentials)
      out.push_back({.registry = host, .user = text("username"), .secret = text("password")});
  }
  return out;
}

agent_api::WorkloadAccess access_of(ServiceAccess access) {
  switch (access) {
    case ServiceAccess::public_: return agent_api::WorkloadAccess::public_;
    case ServiceAccess::account: return agent_api::WorkloadAccess::account;
    case ServiceAccess::token: return agent_api::WorkloadAccess::token;
  }
  return agent_api::WorkloadAccess::account;
}

struct IngressList {
  std::vector<agent_api::IngressRule> items;
};
BOOST_DESCRIBE_STRUCT(IngressList, (), (items))
struct EnvMap {
  std::map<std::string, std::string> items;
};
BOOST_DESCRIBE_STRUCT(EnvMap, (), (items))

}  // namespace

Result<SignedBody> DeploymentDocuments::build(db::Transaction& tx, const DeploymentRow& deployment,
                                              const AgentRow& agent) const {
  const auto revision = revision_rows_.get(tx, deployment.id, deployment.target_revision);
  if (!revision) return std::unexpected(revision.error());
  const auto service = services_.get(tx, deployment.service_id);
  if (!service) return std::unexpected(service.error());
  if (!*revision || !*service) return fail(ErrorCode::internal_error, "a deployment without revision or service");
  const auto ingress = json::read<IngressList>("{\"items\":" + (*revision)->ingress + "}");
  const auto env = json::read<EnvMap>("{\"items\":" + (*revision)->env + "}");
  if (!ingress || !env) return fail(ErrorCode::internal_error, "a stored revision is damaged");
  const std::string& id = deployment.id.str();
  const std::int64_t epoch = deployment.assignment_epoch;
  agent_api::DeploymentDocument document{.deployment_id = id,
                                         .assignment_epoch = epoch,
                                         .revision = deployment.target_revision,
                                         .service = (*service)->name,
                                         .app = (*revision)->app_name,
                                         .compose = (*revision)->resolved_compose,
                                         .compose_sha256 = to_hex(sha256(bytes_of((*revision)->resolved_compose))),
                                         .env = env->items,
                                         .ingress = ingress->items,
                                         .health_path = (*revision)->health_path,
                                         .access = access_of((*service)->access),
                                         .deploy_timeout_seconds = (*revision)->deploy_timeout_seconds,
                                         .stop_grace_seconds = kStopGraceSeconds,
                                         .issued_at = parts_.clock.now()};
  const auto secrets = parts_.revisions.secrets(tx, deployment.id, deployment.target_revision);
  if (!secrets) return std::unexpected(secrets.error());
  if (!secrets->empty()) {
    auto sealed =
        sealed_for(agent, agent_api::secrets_seal_context(agent.id.str(), id, epoch, deployment.target_revision),
                   secrets_payload(*secrets));
    if (!sealed) return std::unexpected(sealed.error());
    document.secrets = std::move(*sealed);
  }
  const auto credentials =
      credentials_for(parts_.settings().registry_credentials, (*revision)->images, deployment.account_id);
  if (!credentials.empty()) {
    auto sealed =
        sealed_for(agent, agent_api::registry_seal_context(agent.id.str(), id, epoch, deployment.target_revision),
                   json::write(credentials));
    if (!sealed) return std::unexpected(sealed.error());
    document.registry_auth = std::move(*sealed);
  }
  std::string body = json::write(document);
  if (body.size() > agent_api::kMaxDocumentBytes) return fail(ErrorCode::internal_error, "a document is too long");
  BodySignature signature =
      parts_.signing_keys.sign_body(agent_api::kDeploymentKind, agent.id.str(), agent.registration_id.str(), body);
  return SignedBody{.body = std::move(body), .signature = std::move(signature)};
}

}  // namespace ee::cp
