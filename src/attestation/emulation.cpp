#include "attestation/emulation.h"

namespace ee::attestation {

Result<EmulationAllowed> EmulationAllowed::check(std::string_view environment, bool switched_on) {
#ifdef EE_EMULATOR
  constexpr bool kBuiltIn = true;
#else
  constexpr bool kBuiltIn = false;
#endif
  if (!switched_on) return fail(ErrorCode::emulated_tdx_forbidden, "EE_ALLOW_EMULATED_TDX is not 1");
  if (environment != "dev") return fail(ErrorCode::emulated_tdx_forbidden, "the environment is not dev");
  if (!kBuiltIn) return fail(ErrorCode::emulated_tdx_forbidden, "built without the emulator");
  return EmulationAllowed();
}

}  // namespace ee::attestation
