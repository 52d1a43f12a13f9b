#include "common/agent_api.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/node_size.h"

namespace ee::agent_api {

std::string registration_seal_context(std::string_view agent_id, std::string_view challenge_id) {
  return fmt::format("easyenclave.seal.1:registration:{}:{}", agent_id, challenge_id);
}
std::string credential_seal_context(std::string_view agent_id, std::string_view registration_id, UtcTime signed_at) {
  return fmt::format("easyenclave.seal.1:credential:{}:{}:{}", agent_id, registration_id, to_rfc3339(signed_at));
}
std::string tunnel_seal_context(std::string_view agent_id, std::int64_t version) {
  return fmt::format("easyenclave.seal.1:tunnel:{}:{}", agent_id, version);
}

bool is_raw_key(std::string_view text) {
  if (text.size() != 44) return false;
  const auto raw = from_base64(text);
  return raw && raw->size() == 32;
}

bool is_size_name(std::string_view text) { return is_node_size_name(text); }

bool is_datacenter(std::string_view text) { return parse_datacenter(text).has_value(); }

bool is_register_purpose(std::string_view text) { return text == "register"; }

}  // namespace ee::agent_api
