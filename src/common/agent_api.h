#pragma once
/// The wire types between `ee-agent` and the control plane: one struct per JSON body, shared by both sides. Names of
/// members are the JSON names. `std::optional` = nullable and may be absent. Source: the agent contract, sections 4.2
/// (register), 5.1 (heartbeat), 6.1 to 6.6 (tunnel, status, rotate, keys, refresh), and the attestation contract,
/// sections 6.1 (challenge) and 14.2 (control plane's quote). Base64 is standard with padding, nonces are hex.
#include "common/agent_api_heartbeat.h"
#include "common/agent_api_parts.h"
#include "common/agent_api_register.h"
