#pragma once
#include <string>

#include "common/agent_api.h"
#include "common/json.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/support/emulated_agent.h"

namespace ee::testing {

/// What became of one try to register over real HTTP.
struct Registered {
  int status = 0;  ///< 0: no answer came
  std::string body;
};

/// Asks for a challenge, makes emulated evidence and registers, as an agent does.
inline Registered register_over_http(ControlPlaneProcess& control_plane, const EmulatedAgent& agent,
                                     const std::string& address) {
  const auto challenged = control_plane.call(
      "POST", "/api/v1/agents/challenge",
      R"({"vm_name":")" + agent.vm_name() + R"(","purpose":"register","client_nonce":")" + std::string(64, 'a') + "\"}",
      {{"X-Forwarded-For", address}});
  if (challenged.status != 200) return {challenged.status, challenged.body};
  const auto challenge = json::read<agent_api::ChallengeAnswer>(challenged.body);
  if (!challenge) return {};
  const auto nonce = from_hex_exact<32>(challenge->nonce).value();
  const auto evidence = agent.evidence(attestation::Purpose::register_, nonce, challenge->audience);
  agent_api::RegisterRequest wanted;
  wanted.vm_name = agent.vm_name();
  wanted.node_size = "tiny";
  wanted.datacenter = "baremetal:local";
  wanted.agent_version = "0.1.0";
  wanted.boot_id = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
  wanted.challenge = challenge->challenge;
  wanted.nonce = challenge->nonce;
  wanted.signing_key = to_base64(agent.signing_key().public_key());
  wanted.sealing_key = to_base64(agent.sealing_key().public_key());
  wanted.evidence.quote = evidence.quote_base64;
  wanted.capacity = {.vcpus = 4, .memory_mib = 4096, .disk_mib = 80000, .gpu_count = 0};
  const std::string body = json::write(wanted);
  const std::string path = "/api/v1/agents/register";
  const auto answer =
      control_plane.call("POST", path, body,
                         {{"X-Forwarded-For", address},
                          {"X-EE-Agent-Signature", agent.sign_request("POST", path, challenge->challenge_id, body)}});
  return {answer.status, answer.body};
}

}  // namespace ee::testing
