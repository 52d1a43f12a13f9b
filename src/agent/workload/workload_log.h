#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "agent/board.h"
#include "attestation/tsm/quote_source.h"
#include "attestation/workload_log.h"
#include "common/agent_api.h"
#include "common/bytes.h"
#include "common/deployment_document.h"
#include "common/error.h"

namespace ee::agent {

/// RTMR3 of this VM, which software may extend.
class RuntimeRegister {
 public:
  virtual ~RuntimeRegister() = default;
  /// Errors: tdx_unavailable.
  virtual Result<ByteArray<48>> read() = 0;
  /// R' = SHA-384(R || digest). Errors: tdx_unavailable.
  virtual Result<void> extend(const ByteArray<48>& digest) = 0;
};

/// The kernel's file `.../measurements/rtmr3:sha384` (Linux 6.16): 48 bytes read are the register, 48 bytes written are
/// extended into it. Null when it is not there.
std::unique_ptr<RuntimeRegister> kernel_register(const std::string& path);
inline constexpr std::string_view kKernelRegisterPath = "sys/class/misc/tdx_guest/measurements/rtmr3:sha384";
/// That of the emulator, if `quotes` is one; else null. `quotes` outlives it.
std::unique_ptr<RuntimeRegister> emulated_register(attestation::QuoteSource& quotes);

/// What is measured of a document (attestation/workload_log.h has its text and digest). A deployment without an app is
/// named by its service.
attestation::WorkloadEvent measured_event(bool deploy, const agent_api::DeploymentDocument& document);

/// What was measured into RTMR3 since the boot, 01 section 12.4. The entry is on tmpfs before the register changes, so
/// that after a crash in between the two can be brought together again. Thread-safe.
class WorkloadLog {
 public:
  static constexpr std::size_t kMaxEntries = 512;

  /// `rtmr3` null: nothing is measured, and the log stays empty. `board` outlives the log and hears by the check
  /// `workload_log` of a log that does not lead to the register, and by `reboot_required` of a full one.
  WorkloadLog(std::unique_ptr<RuntimeRegister> rtmr3, std::string path, Board& board);

  bool supported() const { return rtmr3_ != nullptr; }
  /// Before a start, or after a stop. Errors: internal_error (full, or not written), tdx_unavailable.
  Result<void> measure(bool deploy, const agent_api::DeploymentDocument& document);
  std::vector<agent_api::WorkloadLogEntry> entries() const;

 private:
  void load();
  Result<void> save(const std::vector<agent_api::WorkloadLogEntry>& entries) const;

  const std::unique_ptr<RuntimeRegister> rtmr3_;
  const std::string path_;
  Board& board_;
  mutable std::mutex mutex_;
  std::vector<agent_api::WorkloadLogEntry> entries_;
};

}  // namespace ee::agent
