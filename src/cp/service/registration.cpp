#include "cp/service/registration.h"

#include <algorithm>

#include "common/argon2.h"
#include "common/id.h"
#include "common/json.h"
#include "common/log.h"
#include "common/node_size.h"
#include "common/sealed_box.h"
#include "cp/service/address_key.h"
#include "cp/service/admission.h"
#include "cp/service/agent_key.h"
#include "cp/service/attestation_records.h"
#include "cp/service/direct_url.h"

namespace ee::cp {
namespace {

namespace att = attestation;

/// How long a registration waits for its tunnel before a job takes over (02, decision D5).
constexpr Milliseconds kTunnelPatience{8000};
/// When to come back after an attempt that could not be decided, unless its reason says otherwise.
constexpr Seconds kUndecidedRetryAfter{5};

Error field_error(std::string field, std::string code, std::string detail) {
  return Error{.code = ErrorCode::invalid_request,
               .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}};
}

std::optional<AdmissionIds> draw_ids(UtcTime now, Random& random) {
  AdmissionIds ids;
  for (std::string* id : {&ids.agent, &ids.registration, &ids.credential, &ids.evidence_audit}) {
    auto drawn = new_uuid_v7(now, random);
    if (!drawn) return std::nullopt;
    *id = std::move(*drawn);
  }
  return ids;
}

}  // namespace

Result<void> RegistrationService::check_request(const agent_api::RegisterRequest& request,
                                                const RegistrationSettings& settings) const {
  if (auto fits = check_capacity(request.node_size, request.capacity); !fits) return fits;
  const auto signing = from_base64(request.signing_key);
  const auto sealing = from_base64(request.sealing_key);
  if (!signing || signing->size() != 32) return fail(field_error("signing_key", "bad_format", "base64 of 32 bytes"));
  if (!sealing || sealing->size() != 32 || !is_acceptable_x25519(*sealing))
    return fail(field_error("sealing_key", "bad_format", "base64 of an X25519 public key that is not of low order"));
  if (request.direct_url && !is_allowed_direct_url(*request.direct_url, settings.dev, settings.direct_url_cidrs))
    return fail(ErrorCode::direct_url_not_allowed);
  if (static_cast<std::int64_t>(parts_.directory.live_count()) >= settings.agents.max_agents)
    return fail(Error{.code = ErrorCode::capacity_reached, .retry_after = Seconds(60)});
  return {};
}

AttestationAttempt RegistrationService::attempt_of(const agent_api::RegisterRequest& request,
                                                   const EvidenceTransport& transport) {
  return {.purpose = "register",
          .request_id = transport.request_id,
          .source_ip = transport.source_ip,
          .vm_name = request.vm_name,
          .node_size = request.node_size};
}

/// After `check_request`, which saw that the keys are good. It refers to the request, whose evidence may be long.
EvidenceClaim RegistrationService::claim_of(const agent_api::RegisterRequest& request) {
  EvidenceClaim claim{.purpose = att::Purpose::register_,
                      .evidence = request.evidence,
                      .challenge = request.challenge,
                      .nonce = request.nonce,
                      .vm_name = request.vm_name,
                      .node_size = request.node_size};
  std::ranges::copy(*from_base64(request.signing_key), claim.signing_key.begin());
  std::ranges::copy(*from_base64(request.sealing_key), claim.sealing_key.begin());
  return claim;
}

std::optional<Error> RegistrationService::refuse_form(const agent_api::RegisterRequest& request,
                                                      const EvidenceTransport& transport) {
  const UtcTime started = parts_.clock.now();
  if (!check_request(request, parts_.settings())) return std::nullopt;
  AttestationAttempt attempt = attempt_of(request, transport);
  auto refused = parts_.verifier.refuse_form(claim_of(request), transport, attempt);
  if (!refused || error_info(refused->code).http_status >= 500) return std::nullopt;
  const UtcTime now = parts_.clock.now();
  if (attempt.audited && !late_.add({.attempt = attempt,
                                     .event = AttestationEvent::registration_attestation_rejected,
                                     .reason = refused->code,
                                     .took = now - started,
                                     .at = now,
                                     .folded = fold_of_refusal(transport)}))
    return std::nullopt;
  if (parts_.observe) parts_.observe(refused->code, attempt, now - started);
  return refused;
}

/// Ten rows per minute and address beside the attempts' own, which are bounded by the rate of attempts.
std::optional<std::int64_t> RegistrationService::fold_of_refusal(const EvidenceTransport& transport) {
  return refused_registrations_.admit(address_key(transport.source_ip), parts_.clock.steady_now());
}

Result<SignedAnswer> RegistrationService::register_agent(const agent_api::RegisterRequest& request,
                                                         const EvidenceTransport& transport) {
  const UtcTime started = parts_.clock.now();
  const RegistrationSettings settings = parts_.settings();
  AttestationAttempt attempt = attempt_of(request, transport);
  auto answered = attempt_registration(request, transport, settings, attempt, started);
  const Milliseconds took = parts_.clock.now() - started;
  if (!answered && error_info(answered.error().code).http_status == 503 && !answered.error().retry_after)
    answered.error().retry_after = kUndecidedRetryAfter;
  if (!answered && attempt.audited)
    trail_.record({.attempt = attempt,
                   .event = AttestationEvent::registration_attestation_rejected,
                   .reason = answered.error().code,
                   .took = took,
                   .folded = fold_of_refusal(transport)});
  if (parts_.observe) parts_.observe(answered ? std::nullopt : std::optional(answered.error().code), attempt, took);
  return answered;
}

Result<SignedAnswer> RegistrationService::attempt_registration(const agent_api::RegisterRequest& request,
                                                               const EvidenceTransport& transport,
                                                               const RegistrationSettings& settings,
                                                               AttestationAttempt& attempt, UtcTime started) {
  if (auto checked = check_request(request, settings); !checked) return std::unexpected(checked.error());
  const auto evidence = parts_.verifier.verify(claim_of(request), transport, attempt);
  if (!evidence) return std::unexpected(evidence.error());

  auto credential = new_credential(CredentialKind::agent, parts_.random);
  if (!credential) return std::unexpected(credential.error());
  const auto hash = hash_token(credential->text, parts_.random);
  if (!hash) return std::unexpected(hash.error());
  const UtcTime now = parts_.clock.now();
  const auto ids = draw_ids(now, parts_.random);
  if (!ids) return fail(ErrorCode::verifier_unavailable, "the CSPRNG failed");
  auto previous = verified_previous(request);
  if (!previous) return std::unexpected(previous.error());
  const BootstrapTokens tokens(parts_.database);
  std::optional<PresentedToken> token;
  if (request.bootstrap_token) {
    auto presented = tokens.present(*request.bootstrap_token);
    if (!presented) return std::unexpected(presented.error());
    token = std::move(*presented);
  }

  const AdmissionInput input{
      .request = request,
      .evidence = *evidence,
      .attempt = attempt,
      .settings = settings,
      .transport = transport,
      .ids = *ids,
      .previous = std::move(*previous),
      .token = std::move(token),
      .credential_lookup = credential->lookup,
      .credential_hash = *hash,
      .credential_expires_at = now + kAgentCredentialLife,
      .attestation_due_at = attestation_due_after(now, settings.agents.attestation_refresh, parts_.random),
      .now = now,
      .took = now - started};
  const Admission admission(parts_.trust, parts_.tunnels, parts_.deployments, tokens, parts_.live, parts_.random);
  auto admitted = parts_.database.write<AdmittedAgent>([&](db::Transaction& tx) { return admission.admit(tx, input); });
  if (!admitted) {
    if (admitted.error().code == ErrorCode::invalid_bootstrap_token && input.token)
      audit_refused_token(*input.token, request.vm_name, transport);
    return std::unexpected(admitted.error());
  }
  publish(admitted->row);
  return answer(input, *admitted, credential->text);
}

Result<std::optional<PreviousCredential>> RegistrationService::verified_previous(
    const agent_api::RegisterRequest& request) {
  if (!request.previous_credential) return std::optional<PreviousCredential>{};
  const auto parsed = parse_credential(*request.previous_credential);
  if (!parsed || parsed->kind != CredentialKind::agent) return std::optional<PreviousCredential>{};
  const auto row = parts_.database.read<std::optional<CredentialRow>>(
      [&](db::Transaction& tx) { return credential_rows_.find(tx, parsed->lookup); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::optional<PreviousCredential>{};
  switch (verify_hash((*row)->secret_hash, parsed->text)) {
    case HashMatch::match: return PreviousCredential{.lookup = parsed->lookup, .agent = (*row)->agent_id};
    case HashMatch::mismatch: return std::optional<PreviousCredential>{};
    case HashMatch::unusable: break;
  }
  return fail(ErrorCode::auth_unavailable, "a stored credential hash is not usable");
}

/// After the COMMIT: what this process keeps in memory of the agent.
void RegistrationService::publish(const AgentRow& row) {
  parts_.directory.put(row);
  if (const auto key = uuid_bytes(row.id.str())) parts_.credentials.remove_subject(*key);
}

Result<SignedAnswer> RegistrationService::answer(const AdmissionInput& input, const AdmittedAgent& admitted,
                                                 const Secret& credential) {
  // The agent is admitted: whatever becomes of its tunnel now, the answer is a success.
  const AgentRow row = parts_.tunnels.provision_now(admitted.row, kTunnelPatience);
  const auto sealing_key = from_base64(input.request.sealing_key);
  ByteArray<32> key{};
  std::ranges::copy(*sealing_key, key.begin());
  const std::optional<std::string> token = tunnel_token_told(row);
  std::string secrets = R"({"agent_credential":)" + json::quote(credential.reveal()) + R"(,"tunnel_token":)" +
                        (token ? json::quote(*token) : "null") + "}";
  const auto sealed =
      seal("easyenclave.seal.1:registration:" + row.id.str() + ":" + input.evidence.challenge_id, secrets, key);
  wipe(secrets);
  if (!sealed) return std::unexpected(sealed.error());

  const UtcTime now = parts_.clock.now();
  const bool due = input.settings.agents.attestation_refresh.count() != 0;
  const auto entry = parts_.directory.find(key_of(row.id));
  const agent_api::RegisterAnswer answer{
      .agent_id = row.id.str(),
      .registration_id = row.registration_id.str(),
      .status = std::string(name_of(row.status)),
      .reused = admitted.reused,
      .sealed = {.ciphertext = to_base64(*sealed)},
      .credential_expires_at = input.credential_expires_at,
      .tunnel = {.state = row.tunnel_state,
                 .version = entry ? entry->tunnel_version : row.row_version,
                 .hostname = row.hostname},
      .signing_keys = {.version = parts_.signing_keys_version(), .keys = parts_.signing_keys.published()},
      .heartbeat_interval_seconds = heartbeat_interval({.configured = input.settings.agents.heartbeat_interval,
                                                        .has_direct_url = row.direct_url.has_value()})
                                        .count(),
      .attestation_due_at = due ? std::optional(row.attestation_due_at) : std::nullopt,
      .desired = entry ? parts_.deployments.desired_for(*entry, input.request.workload) : agent_api::Desired{},
      .answered_at = now};
  std::string body = json::write(answer);
  BodySignature signature =
      parts_.signing_keys.sign_body("registration", row.id.str(), row.registration_id.str(), body);
  return SignedAnswer{
      .status = admitted.reused ? 200 : 201, .body = std::move(body), .signature = std::move(signature)};
}

/// In a transaction of its own: that of the registration is gone. Folded, so that nobody can fill the table.
void RegistrationService::audit_refused_token(const PresentedToken& token, const std::string& vm_name,
                                              const EvidenceTransport& transport) {
  const auto folded = refused_tokens_.admit(address_key(transport.source_ip), parts_.clock.steady_now());
  if (!folded) return;
  const AuditEntry entry{
      .actor = "anonymous",
      .action = "enrollment_token_refused",
      .object_type = "enrollment_token",
      .object_id = token.enrollment_token_id,
      .result = AuditResult::refused,
      .reason_code = std::string(slug(ErrorCode::invalid_bootstrap_token)),
      .request_id = transport.request_id,
      .client_address = transport.source_ip,
      .detail = R"({"vm_name":)" + json::quote(vm_name) + R"(,"folded":)" + std::to_string(*folded) + "}"};
  const auto written = parts_.database.write<std::string>(
      [&](db::Transaction& tx) { return audit_log_.append(tx, entry, parts_.clock.now(), parts_.random); });
  if (written) return;
  log::error("audit", "a refused enrolment token could not be audited",
             {{"vm_name", vm_name}, {"source_ip", transport.source_ip}, {"error", written.error().code}});
  if (parts_.audit_failed) parts_.audit_failed();
}

}  // namespace ee::cp
