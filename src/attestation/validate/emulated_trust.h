#pragma once
#include "attestation/emulation.h"
#include "attestation/validate/trust_store.h"

namespace ee::attestation {

#ifdef EE_EMULATOR
/// What counts as environment entries where emulation is allowed: the default measurements of emulated agents and
/// control planes, with one RTMR profile each (RTMR3 unchecked: workloads extend it).
TrustStore emulated_trust(EmulationAllowed allowed);
#endif

}  // namespace ee::attestation
