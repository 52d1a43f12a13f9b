#pragma once
#include <string_view>

#include "common/error.h"

namespace ee::attestation {

/// Proof that emulated TDX is allowed in this process: the only way to it is `check`, and the emulator asks for one.
class EmulationAllowed {
 public:
  /// `environment` is `EE_ENV`, `switched_on` is `EE_ALLOW_EMULATED_TDX=1`. emulated_tdx_forbidden unless the
  /// environment is exactly `dev`, the switch is on, and the program was built with the emulator.
  [[nodiscard]] static Result<EmulationAllowed> check(std::string_view environment, bool switched_on);

 private:
  EmulationAllowed() = default;
};

}  // namespace ee::attestation
