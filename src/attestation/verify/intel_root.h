#pragma once
#include "common/bytes.h"

namespace ee::attestation {

/// DER of the certificate "Intel SGX Root CA", as published at
/// https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer; 659 bytes, SHA-256
/// 44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3.
Bytes intel_root_der();

}  // namespace ee::attestation
