#include "common/signatures.h"

#include "common/crypto.h"
#include "common/require.h"

namespace ee {
namespace {

void append_part(ByteVector& out, std::string_view part) {
  append(out, part);
  out.push_back(0);
}

}  // namespace

ByteVector request_signature_input(std::string_view method, std::string_view path, std::string_view challenge_id,
                                   Bytes body) {
  ByteVector out;
  append_part(out, "ee-request-v1");
  append_part(out, method);
  append_part(out, path);
  append_part(out, challenge_id);
  append(out, sha256(body));
  return out;
}

ByteVector signed_body_input(std::string_view kind, std::string_view agent_id, std::string_view registration_id,
                             Bytes body) {
  ByteVector out;
  out.reserve(body.size() + 128);
  append_part(out, "ee-signed-v1");
  append_part(out, kind);
  append_part(out, agent_id);
  append_part(out, registration_id);
  append(out, body);
  return out;
}

ByteVector challenge_signature_input(Bytes client_nonce, Bytes body) {
  require(client_nonce.size() == 32);
  ByteVector out;
  append_part(out, "ee-challenge-v1");
  append(out, client_nonce);
  append(out, body);
  return out;
}

}  // namespace ee
