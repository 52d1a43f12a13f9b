#pragma once
#include <string>

#include "attestation/tsm/emulator_pki.h"

#ifdef EE_EMULATOR

/// The signed documents of the emulator's PKI, in the order and form of Intel's PCS v4.
namespace ee::attestation::emulator {

inline constexpr std::uint8_t kQeAttributes = 0x11;  // INIT and PROVISION_KEY, no DEBUG
inline constexpr std::uint8_t kQeIsvProdId = 2;
inline constexpr std::uint8_t kQeIsvSvn = 4;
ByteArray<32> qe_mrsigner();

/// TCB info version 3, one line without spaces.
std::string make_tcb_info(const EmulatorPkiOptions& options);
/// QE identity version 2.
std::string make_qe_identity(const EmulatorPkiOptions& options);

}  // namespace ee::attestation::emulator

#endif
