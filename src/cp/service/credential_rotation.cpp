#include "cp/service/credential_rotation.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/crypto.h"
#include "common/ed25519.h"
#include "common/id.h"
#include "common/json.h"
#include "common/log.h"
#include "common/sealed_box.h"
#include "common/signatures.h"
#include "cp/domain/agent_deleted.h"
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

/// The id of the credential that this request brings: a UUIDv7 that the request alone decides, so that it brings one.
std::string credential_id_of(const AgentId& agent, UtcTime signed_at) {
  const auto digest = sha256(bytes_of("ee-rotation-v1 " + agent.str() + " " + to_rfc3339(signed_at)));
  ByteArray<16> id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  const auto time = static_cast<std::uint64_t>(unix_ms(signed_at));
  for (std::size_t i = 0; i < 6; ++i) id[i] = static_cast<std::uint8_t>(time >> (8 * (5 - i)));
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0fU) | 0x70U);
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3fU) | 0x80U);
  return uuid_text(id);
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

/// Somebody has the bearer token and not the key: worth a row, once a minute.
void CredentialRotation::audit_refused(const AgentId& agent, const EvidenceTransport& transport) {
  const auto folded = refused_.admit(agent.str(), parts_.clock.steady_now());
  if (!folded) return;
  const auto written = parts_.database.write<std::string>([&](db::Transaction& tx) {
    return audit_.append(tx,
                         {.actor = "agent:" + agent.str(),
                          .action = "agent_credential_rotated",
                          .object_type = "agent",
                          .object_id = agent.str(),
                          .result = AuditResult::refused,
                          .reason_code = std::string(slug(ErrorCode::pop_signature_invalid)),
                          .request_id = transport.request_id,
                          .client_address = transport.source_ip,
                          .detail = R"({"folded":)" + std::to_string(*folded) + "}"},
                         parts_.clock.now(), parts_.random);
  });
  if (!written)
    log::error("audit", "a refused rotation could not be audited",
               {{"agent_id", agent.str()}, {"source_ip", transport.source_ip}, {"error", written.error().code}});
}

Result<SignedBody> CredentialRotation::rotate(const AgentId& agent, const agent_api::RotateRequest& request,
                                              const EvidenceTransport& transport) {
  if (const auto admitted = admit_agent(parts_.directory, agent); !admitted) return std::unexpected(admitted.error());
  auto credential = new_credential(CredentialKind::agent, parts_.random);
  if (!credential) return std::unexpected(credential.error());
  const auto hash = hash_token(credential->text, parts_.random);
  if (!hash) return std::unexpected(hash.error());
  const UtcTime now = parts_.clock.now();
  const CredentialRow fresh{.id = credential_id_of(agent, request.signed_at),
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
    // The directory may be a moment behind: a deleted or failed agent gets nothing that works.
    if ((*read)->status == AgentStatus::deleting || (*read)->status == AgentStatus::deleted)
      return fail(agent_deleted_error((*read)->delete_reason));
    if ((*read)->attestation_state == AttestationState::failed) return fail(ErrorCode::agent_attestation_failed);
    if (auto good = check_signature(**read, request, transport); !good) return std::unexpected(good.error());
    const auto used = rows_.exists(tx, fresh.id);
    if (!used) return std::unexpected(used.error());
    if (*used) return fail(ErrorCode::pop_signature_invalid, "the request was used before");
    if (auto stored = store(tx, **read, fresh, transport, now); !stored) return std::unexpected(stored.error());
    return **read;
  });
  if (!row) {
    if (row.error().code == ErrorCode::pop_signature_invalid) audit_refused(agent, transport);
    return std::unexpected(row.error());
  }
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
