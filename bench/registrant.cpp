#include "bench/registrant.h"

#include <fmt/format.h>

#include <utility>

#include "common/agent_api.h"
#include "common/json.h"
#include "common/sealed_box.h"

namespace ee::bench {

std::string forwarded_for(std::uint64_t n) {
  return fmt::format("10.{}.{}.{}", (n >> 16U) & 255U, (n >> 8U) & 255U, n & 255U);
}

void Registrant::next(std::uint64_t number, std::string& out) {
  if (challenge_.empty()) {
    agent_ = std::make_unique<testing::EmulatedAgent>(fmt::format("{}-{}", prefix_, number), random_);
    address_ = forwarded_for(number);
    credential_.clear();
    request(
        "/api/v1/agents/challenge",
        fmt::format(R"({{"vm_name":"{}","purpose":"register","client_nonce":"{:064x}"}})", agent_->vm_name(), number),
        "", out);
    return;
  }
  const auto answer = json::read<agent_api::ChallengeAnswer>(challenge_).value();
  const auto evidence =
      agent_->evidence(attestation::Purpose::register_, from_hex_exact<32>(answer.nonce).value(), audience_);
  agent_api::RegisterRequest wanted;
  wanted.vm_name = agent_->vm_name();
  wanted.node_size = "tiny";
  wanted.datacenter = "baremetal:local";
  wanted.agent_version = "0.1.0";
  wanted.boot_id = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
  wanted.challenge = answer.challenge;
  wanted.nonce = answer.nonce;
  wanted.signing_key = to_base64(agent_->signing_key().public_key());
  wanted.sealing_key = to_base64(agent_->sealing_key().public_key());
  wanted.evidence.quote = evidence.quote_base64;
  wanted.capacity = {.vcpus = 4, .memory_mib = 4096, .disk_mib = 80000, .gpu_count = 0};
  const std::string body = json::write(wanted);
  const std::string path = "/api/v1/agents/register";
  request(path, body, agent_->sign_request("POST", path, answer.challenge_id, body), out);
  challenge_id_ = answer.challenge_id;
  challenge_.clear();
  answering_ = true;
}

bool Registrant::answered(int status, std::string_view body) {
  if (std::exchange(answering_, false)) {
    if (status == 201) take_secrets(body);
    return status == 201;
  }
  if (status == 200) challenge_ = std::string(body);
  return false;
}

void Registrant::take_secrets(std::string_view body) {
  const auto admitted = json::read<agent_api::RegisterAnswer>(body).value();
  id_ = admitted.agent_id;
  const auto opened = open_sealed(agent_api::registration_seal_context(id_, challenge_id_),
                                  from_base64(admitted.sealed.ciphertext).value(), agent_->sealing_key());
  credential_ = json::read<agent_api::RegistrationSecrets>(opened.value().reveal()).value().agent_credential;
}

void Registrant::next_refresh(std::string& out) {
  const std::string path = "/api/v1/agents/" + id_ + "/attestation";
  if (challenge_.empty())
    return request(path + "/challenge", R"({"client_nonce":")" + std::string(64, 'c') + "\"}", "", out);
  const auto answer = json::read<agent_api::ChallengeAnswer>(challenge_).value();
  agent_api::RefreshRequest wanted;
  wanted.challenge = answer.challenge;
  wanted.nonce = answer.nonce;
  wanted.evidence.quote =
      agent_->evidence(attestation::Purpose::refresh, from_hex_exact<32>(answer.nonce).value(), audience_).quote_base64;
  const std::string body = json::write(wanted);
  request(path, body, agent_->sign_request("POST", path, answer.challenge_id, body), out);
  challenge_.clear();
  answering_ = true;
}

bool Registrant::refreshed(int status, std::string_view body) {
  if (std::exchange(answering_, false)) return status == 200;
  if (status == 200) challenge_ = std::string(body);
  return false;
}

void Registrant::request(const std::string& path, const std::string& body, const std::string& signature,
                         std::string& out) const {
  out = fmt::format("POST {} HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {}\r\nContent-Type: application/json\r\n",
                    path, address_);
  if (!credential_.empty()) out += "Authorization: Bearer " + credential_ + "\r\n";
  if (!signature.empty()) out += "X-EE-Agent-Signature: " + signature + "\r\n";
  out += fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
}

}  // namespace ee::bench
