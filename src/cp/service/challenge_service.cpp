#include "cp/service/challenge_service.h"

#include "common/id.h"
#include "common/json.h"

namespace ee::cp {

Result<SignedChallenge> ChallengeService::issue(std::uint8_t purpose, const std::string& vm_name,
                                                const std::string& agent_id, const std::string& client_nonce,
                                                const ChallengePolicy& policy) const {
  const auto client_nonce_bytes = from_hex_exact<32>(client_nonce);
  if (!client_nonce_bytes) return fail(ErrorCode::invalid_request, "client_nonce is 64 hexadecimal digits");
  const UtcTime now = clock_.now();
  Challenge challenge{.id = {},
                      .purpose = purpose,
                      .vm_name = vm_name,
                      .agent_id = agent_id,
                      .audience = audience_,
                      .expires_at = now + policy.ttl};
  const auto id = new_uuid_v7(now, random_);
  if (!id || !random_.fill(challenge.nonce)) return fail(ErrorCode::verifier_unavailable, "the CSPRNG failed");
  challenge.id = *id;

  const agent_api::ChallengeAnswer answer{
      .challenge_id = challenge.id,
      .nonce = to_hex(challenge.nonce),
      .challenge = encode_challenge(challenge, keys_.current),
      .purpose = agent_id.empty() ? "register" : "refresh",
      .ttl_seconds = policy.ttl.count(),
      .expires_at = challenge.expires_at,
      .accept = {policy.agent_mints_token ? agent_api::EvidenceKind::ita : agent_api::EvidenceKind::dcap},
      .audience = audience_,
      .event_log = policy.event_log};
  std::string body = json::write(answer);
  BodySignature signature = signing_keys_.sign_challenge(*client_nonce_bytes, body);
  return SignedChallenge{.body = std::move(body), .signature = std::move(signature)};
}

}  // namespace ee::cp
