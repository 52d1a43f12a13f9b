#include "agent/registrar.h"

#include "agent/version.h"
#include "common/credential.h"
#include "common/json.h"
#include "common/log.h"

namespace ee::agent {
namespace {

std::unexpected<CallFailure> bad_answer(std::string detail) {
  return std::unexpected(CallFailure{.code = "bad_answer", .detail = std::move(detail), .reason = {}});
}

}  // namespace

Registrar::Registrar(const AgentConfig& config, Identity identity, const InstanceKeys& keys, ControlPlaneClient& client,
                     ControlPlaneTrust& trust, EvidenceMaker& evidence, StateFile& state, Random& random)
    : config_(config),
      identity_(std::move(identity)),
      keys_(keys),
      client_(client),
      trust_(trust),
      evidence_(evidence),
      state_(state),
      random_(random) {}

CallResult<Registration> Registrar::attempt(const std::optional<agent_api::WorkloadReport>& workload,
                                            const std::stop_token& stop) {
  const auto signers = trust_.establish(stop);
  if (!signers) return std::unexpected(signers.error());
  auto challenge = get_challenge(*signers, stop);
  if (!challenge) return std::unexpected(std::move(challenge.error()));
  if (auto fits = evidence_.check(challenge->value, "register"); !fits) return std::unexpected(std::move(fits.error()));
  auto evidence = evidence_.make(challenge->value, attestation::Purpose::register_, stop);
  if (!evidence) return std::unexpected(std::move(evidence.error()));

  auto request = make_request(challenge->value, std::move(*evidence), workload);
  auto answer = client_.register_agent(request, challenge->value.challenge_id, keys_.signing, stop);
  if (request.bootstrap_token) wipe(*request.bootstrap_token);
  if (request.previous_credential) wipe(*request.previous_credential);
  if (!answer) return std::unexpected(std::move(answer.error()));

  auto named = check_answer(*signers, *answer);
  if (!named) return std::unexpected(std::move(named.error()));
  return accept(std::move(*named), std::move(*answer), challenge->value.challenge_id);
}

/// Before anything else is sent, the answer to a nonce of our own must be signed by a key that is trusted.
CallResult<Signed<agent_api::ChallengeAnswer>> Registrar::get_challenge(const SignerSet& signers,
                                                                        const std::stop_token& stop) {
  ByteArray<32> client_nonce{};
  if (!random_.fill(client_nonce)) return refuse(ErrorCode::internal_error, "no random bytes");
  auto challenge = client_.challenge(
      {.vm_name = identity_.vm_name, .purpose = "register", .client_nonce = to_hex(client_nonce)}, stop);
  if (!challenge || signers.empty()) return challenge;
  if (auto is_signed = check_challenge_signature(signers, client_nonce, *challenge); !is_signed) {
    trust_.forget();
    return std::unexpected(std::move(is_signed.error()));
  }
  return challenge;
}

agent_api::RegisterRequest Registrar::make_request(const agent_api::ChallengeAnswer& challenge,
                                                   agent_api::Evidence evidence,
                                                   const std::optional<agent_api::WorkloadReport>& workload) const {
  const AgentState state = state_.state();
  agent_api::RegisterRequest out{.vm_name = identity_.vm_name,
                                 .node_size = config_.node_size,
                                 .datacenter = config_.datacenter,
                                 .agent_version = std::string(kAgentVersion),
                                 .boot_id = identity_.boot_id,
                                 .challenge = challenge.challenge,
                                 .nonce = challenge.nonce,
                                 .signing_key = to_base64(keys_.signing.public_key()),
                                 .sealing_key = to_base64(keys_.sealing.public_key()),
                                 .evidence = std::move(evidence),
                                 .bootstrap_token = {},
                                 .previous_credential = {},
                                 .direct_url = identity_.direct_url,
                                 .capacity = identity_.capacity,
                                 .workload = workload};
  if (config_.bootstrap_token) out.bootstrap_token = config_.bootstrap_token->reveal();
  if (state.credential && state.vm_name == identity_.vm_name) out.previous_credential = *state.credential;
  return out;
}

/// The keys that the answer names, once somebody who is trusted (in development: anybody) has signed it.
CallResult<SignerSet> Registrar::check_answer(const SignerSet& signers,
                                              const Signed<agent_api::RegisterAnswer>& answer) {
  auto named = SignerSet::from_wire(answer.value.signing_keys);
  if (!named) return bad_answer(named.error().detail);
  const SignerSet& judges = signers.empty() ? *named : signers;
  if (auto is_signed =
          check_body_signature(judges, "registration", answer.value.agent_id, answer.value.registration_id, answer);
      !is_signed) {
    trust_.forget();
    return std::unexpected(std::move(is_signed.error()));
  }
  trust_.learn(*named);
  return std::move(*named);
}

CallResult<Registration> Registrar::accept(SignerSet signers, Signed<agent_api::RegisterAnswer> answer,
                                           std::string_view challenge_id) {
  const agent_api::RegisterAnswer& value = answer.value;
  const std::string context = agent_api::registration_seal_context(value.agent_id, challenge_id);
  const auto opened = open_sealed_value(value.sealed, context, keys_.sealing);
  if (!opened) return std::unexpected(opened.error());
  auto secrets = json::read<agent_api::RegistrationSecrets>(opened->reveal());
  if (!secrets) return bad_answer("the sealed value");
  Registration out;
  Secret credential(std::move(secrets->agent_credential));
  if (secrets->tunnel_token) {
    Secret token(std::move(*secrets->tunnel_token));
    if (value.tunnel.state == agent_api::TunnelState::ready) out.tunnel_token = std::move(token);
  }
  const auto parsed = parse_credential(credential.reveal());
  if (!parsed || parsed->kind != CredentialKind::agent) return bad_answer("the credential");

  const auto saved = state_.update([&](AgentState& state) {
    state = AgentState{.agent_id = value.agent_id,
                       .registration_id = value.registration_id,
                       .vm_name = identity_.vm_name,
                       .boot_id = identity_.boot_id,
                       .credential = credential.reveal(),
                       .signing_keys = value.signing_keys,
                       .held = std::move(state.held)};
  });
  if (!saved)
    log::error("registrar", "state cannot be saved; a restart will lose it", {{"detail", saved.error().detail}});

  out.session = Session{.identity = {.agent_id = value.agent_id,
                                     .registration_id = value.registration_id,
                                     .credential = std::move(credential)},
                        .signers = std::move(signers),
                        .signing_keys_version = value.signing_keys.version,
                        .tunnel_state = value.tunnel.state,
                        .tunnel_version = value.tunnel.version,
                        .hostname = value.tunnel.hostname};
  out.answer = std::move(answer.value);
  return out;
}

}  // namespace ee::agent
