#pragma once
#include <optional>
#include <stop_token>
#include <string>

#include "agent/board.h"
#include "agent/config.h"
#include "agent/control_plane_client.h"
#include "agent/cp_trust.h"
#include "agent/evidence.h"
#include "agent/state_file.h"
#include "common/agent_api.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee::agent {

/// What a registration gave.
struct Registration {
  Session session;
  agent_api::RegisterAnswer answer;
  std::optional<Secret> tunnel_token;  ///< only with tunnel state `ready`
};

/// One attempt to register: trust, challenge, evidence, request, checks of the answer, state file. One thread at a
/// time.
class Registrar {
 public:
  struct Identity {
    std::string vm_name;
    std::string boot_id;
    agent_api::Capacity capacity;
    std::optional<std::string> direct_url;
  };
  /// All references outlive the registrar.
  Registrar(const AgentConfig& config, Identity identity, const InstanceKeys& keys, ControlPlaneClient& client,
            ControlPlaneTrust& trust, EvidenceMaker& evidence, StateFile& state, Random& random);

  /// `workload` is what runs now. The answer's signature was checked and its sealed value opened; the state file holds
  /// the new credential. Errors: answers of the control plane as they are; of the agent's own: cp_untrusted,
  /// audience_mismatch, evidence_kind_refused, seal_context_mismatch, bad_answer, those of the quote source.
  CallResult<Registration> attempt(const std::optional<agent_api::WorkloadReport>& workload,
                                   const std::stop_token& stop);

 private:
  CallResult<Signed<agent_api::ChallengeAnswer>> get_challenge(const SignerSet& signers, const std::stop_token& stop);
  CallResult<SignerSet> check_answer(const SignerSet& signers, const Signed<agent_api::RegisterAnswer>& answer);
  CallResult<Registration> accept(SignerSet signers, Signed<agent_api::RegisterAnswer> answer,
                                  std::string_view challenge_id);
  agent_api::RegisterRequest make_request(const agent_api::ChallengeAnswer& challenge, agent_api::Evidence evidence,
                                          const std::optional<agent_api::WorkloadReport>& workload) const;

  const AgentConfig& config_;
  Identity identity_;
  const InstanceKeys& keys_;
  ControlPlaneClient& client_;
  ControlPlaneTrust& trust_;
  EvidenceMaker& evidence_;
  StateFile& state_;
  Random& random_;
};

}  // namespace ee::agent
