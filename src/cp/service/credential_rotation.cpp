#include "cp/service/credential_rotation.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/ed25519.h"
#include "common/json.h"
#include "common/sealed_box.h"
#include "common/signatures.h"
#include "cp/service/verification_inputs.h"

namespace ee::cp {
namespace {

/// A key of 32 bytes as the agent's row holds it.
Result<ByteArray<32>> stored_key(const std::string& text) {
  const auto raw = from_base64(text);
  if (!raw || raw->size() != 32) return fail(ErrorCode::internal_error, "a stored key is damaged");
  ByteArray<32> key{};
  std::ranges::copy(*raw, key.begin());
  return key;
}

}  // namespace

Result<void> CredentialRotation::check_signature(const AgentRow& row, const agent_api::RotateRequest& request,
                                                 const EvidenceTransport& transport) const {
  const auto signature = signature_of(transport);
  if (!signature) return std::unexpected(signature.error());
  const auto apart = parts_.clock.now() - request.signed_at;
  if (apart > kSignedWithin || apart < -kSignedWithin)
    return fail(
        Error{.code = ErrorCode::invalid_request,
              .fields = {{.field = "signed_at", .code = "out_of_range", .detail = "more than 120 s from now"}}});
  const auto key = stored_key(row.signing_key);
  if (!key) return std::unexpected(key.error());
  const ByteVector input = request_signature_input(transport.method, transport.path, to_rfc3339(request.signed_at),
                                                   bytes_of(transport.body));
  if (!ed25519_verify(*key, input, *signature)) return fail(ErrorCode::pop_signature_invalid);
  return {};
}

Result<void> CredentialRotation::store(db::Transaction& tx, const AgentRow& row, const CredentialRow& fresh,
                                       const EvidenceTransport& transport, UtcTime now) const {
  const auto revoked = rows_.rotate(tx, fresh, now);
  if (!revoked) return std::unexpected(revoked.error());
  const auto audit = [&](std::string action) {
    return audit_.append(tx,
                         {.actor = "agent:" + row.id.str(),
                          .action = std::move(action),
                          .object_type = "agent",
                          .object_id = row.id.str(),
                          .request_id = transport.request_id,
                          .client_address = transport.source_ip},
                         now, parts_.random);
  };
  if (!revoked->empty())
    if (auto done = audit("agent_credential_revoked"); !done) return std::unexpected(done.error());
  if (auto done = audit("agent_credential_rotated"); !done) return std::unexpected(done.error());
  return {};
}

Result<SignedBody> CredentialRotation::rotate(const AgentId& agent, const agent_api::RotateRequest& request,
                                              const EvidenceTransport& transport) {
  if (const auto admitted = admit_agent(parts_.directory, agent); !admitted) return std::unexpected(admitted.error());
  auto credential = new_credential(CredentialKind::agent, parts_.random);
  if (!credential) return std::unexpected(credential.error());
  const auto hash = hash_token(credential->text, parts_.random);
  if (!hash) return std::unexpected(hash.error());
  const UtcTime now = parts_.clock.now();
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  const CredentialRow fresh{.id = *id,
                            .agent_id = agent,
                            .lookup = credential->lookup,
                            .secret_hash = *hash,
                            .created_at = now,
                            .expires_at = now + kAgentCredentialLife};
  // The row is read in the transaction: a registration between has other keys, and its credential must stay.
  const auto row = parts_.database.write<AgentRow>([&](db::Transaction& tx) -> Result<AgentRow> {
    const auto read = agents_.get(tx, agent);
    if (!read) return std::unexpected(read.error());
    if (!*read) return fail(ErrorCode::agent_not_found);
    if (auto good = check_signature(**read, request, transport); !good) return std::unexpected(good.error());
    if (auto stored = store(tx, **read, fresh, transport, now); !stored) return std::unexpected(stored.error());
    return **read;
  });
  if (!row) return std::unexpected(row.error());
  if (const auto key = uuid_bytes(agent.str())) parts_.credentials.remove_subject(*key);

  const auto sealing_key = stored_key(row->sealing_key);
  if (!sealing_key) return std::unexpected(sealing_key.error());
  std::string secrets = R"({"agent_credential":)" + json::quote(credential->text.reveal()) + "}";
  const auto sealed =
      seal(agent_api::credential_seal_context(agent.str(), row->registration_id.str(), request.signed_at), secrets,
           *sealing_key);
  wipe(secrets);
  if (!sealed) return std::unexpected(sealed.error());
  std::string body = json::write(
      agent_api::RotateAnswer{.sealed = {.ciphertext = to_base64(*sealed)}, .credential_expires_at = fresh.expires_at});
  BodySignature signature = parts_.signing_keys.sign_body("credential", agent.str(), row->registration_id.str(), body);
  return SignedBody{.body = std::move(body), .signature = std::move(signature)};
}

}  // namespace ee::cp
