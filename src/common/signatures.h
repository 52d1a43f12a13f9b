#pragma once
#include <string_view>

#include "common/bytes.h"

namespace ee {

// The exact bytes that Ed25519 signatures of the agent protocol cover. Every variable part is ended by a zero byte or
// has a fixed length, and each kind begins with its own name, so that no two meanings share bytes. Parts are taken as
// they are: whoever reads one from outside checks its form (id, route) as it has to anyway.

/// `"ee-request-v1" 00 method 00 path 00 challenge_id 00 SHA-256(body)`: header X-EE-Agent-Signature, by the agent's
/// signing key. `method` in upper case, `path` as sent without the query; on credential rotation `signed_at` stands in
/// the challenge id's place.
ByteVector request_signature_input(std::string_view method, std::string_view path, std::string_view challenge_id,
                                   Bytes body);

/// `"ee-signed-v1" 00 kind 00 agent_id 00 registration_id 00 body`: header X-EE-Signature, by the control plane's key.
/// Kinds: registration, deployment, tunnel, credential, signing-keys.
ByteVector signed_body_input(std::string_view kind, std::string_view agent_id, std::string_view registration_id,
                             Bytes body);

/// `"ee-challenge-v1" 00 client_nonce(32) body`: header X-EE-Signature of a challenge's answer, by the control plane's
/// key. Requires a client nonce of 32 bytes.
ByteVector challenge_signature_input(Bytes client_nonce, Bytes body);

}  // namespace ee
