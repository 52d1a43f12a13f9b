#include "agent/workload/workload_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/describe/class.hpp>

#include "agent/files.h"
#include "attestation/tsm/emulated_tdx.h"
#include "common/json.h"
#include "common/log.h"

namespace ee::agent {
namespace {

struct LogFile {
  std::vector<agent_api::WorkloadLogEntry> entries;
};
BOOST_DESCRIBE_STRUCT(LogFile, (), (entries))
constexpr auto json_rules(json::For<LogFile>) {
  return std::array{json::field("entries").items(0, WorkloadLog::kMaxEntries)};
}

/// The register after these entries.
ByteArray<48> replayed(const std::vector<agent_api::WorkloadLogEntry>& entries) {
  std::vector<std::string_view> payloads;
  payloads.reserve(entries.size());
  for (const agent_api::WorkloadLogEntry& entry : entries) payloads.push_back(entry.payload);
  return attestation::replay_workload_log(payloads);
}

class KernelRegister final : public RuntimeRegister {
 public:
  explicit KernelRegister(std::string path) : path_(std::move(path)) {}
  Result<ByteArray<48>> read() override {
    const auto bytes = read_file(path_, 64);
    if (!bytes || bytes->size() != 48) return fail(ErrorCode::tdx_unavailable, "RTMR3 cannot be read");
    ByteArray<48> out{};
    std::ranges::copy(bytes_of(*bytes), out.begin());
    return out;
  }
  Result<void> extend(const ByteArray<48>& digest) override {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    const bool written =
        fd >= 0 && ::pwrite(fd, digest.data(), digest.size(), 0) == static_cast<ssize_t>(digest.size());
    if (fd >= 0) ::close(fd);
    if (!written) return fail(ErrorCode::tdx_unavailable, "RTMR3 cannot be extended");
    return {};
  }

 private:
  std::string path_;
};

#ifdef EE_EMULATOR
class EmulatedRegister final : public RuntimeRegister {
 public:
  explicit EmulatedRegister(attestation::EmulatedTdx& tdx) : tdx_(tdx) {}
  Result<ByteArray<48>> read() override { return tdx_.measurements().rtmrs[3]; }
  Result<void> extend(const ByteArray<48>& digest) override { return tdx_.extend_rtmr3(digest); }

 private:
  attestation::EmulatedTdx& tdx_;
};
#endif

}  // namespace

std::unique_ptr<RuntimeRegister> kernel_register(const std::string& path) {
  if (::access(path.c_str(), R_OK | W_OK) != 0) return nullptr;
  return std::make_unique<KernelRegister>(path);
}

std::unique_ptr<RuntimeRegister> emulated_register([[maybe_unused]] attestation::QuoteSource& quotes) {
#ifdef EE_EMULATOR
  if (auto* tdx = dynamic_cast<attestation::EmulatedTdx*>(&quotes)) return std::make_unique<EmulatedRegister>(*tdx);
#endif
  return nullptr;
}

attestation::WorkloadEvent measured_event(bool deploy, const agent_api::DeploymentDocument& document) {
  return {.app = document.app.value_or(document.service),
          .compose_sha256 = document.compose_sha256,
          .deployment_id = document.deployment_id,
          .op = deploy ? attestation::WorkloadOp::deploy : attestation::WorkloadOp::undeploy};
}

WorkloadLog::WorkloadLog(std::unique_ptr<RuntimeRegister> rtmr3, std::string path, Board& board)
    : rtmr3_(std::move(rtmr3)), path_(std::move(path)), board_(board) {
  if (rtmr3_) load();
}

void WorkloadLog::load() {
  if (const auto text = read_file(path_, 4UL * 1024 * 1024))
    if (auto file = json::read<LogFile>(*text, {.max_bytes = 4UL * 1024 * 1024})) entries_ = std::move(file->entries);
  const auto value = rtmr3_->read();
  if (!value) {
    board_.fail_check("workload_log", slug(value.error().code));
    return;
  }
  if (replayed(entries_) == *value) return;
  // The process ended between writing the last entry and extending the register.
  auto without_last = entries_;
  if (!without_last.empty()) without_last.pop_back();
  if (replayed(without_last) == *value) {
    entries_ = std::move(without_last);
    return;
  }
  log::error("workload", "the workload log does not lead to RTMR3; only a reboot mends that");
  board_.fail_check("workload_log", slug(ErrorCode::workload_log_mismatch));
}

Result<void> WorkloadLog::save(const std::vector<agent_api::WorkloadLogEntry>& entries) const {
  return write_file_atomically(path_, json::write(LogFile{.entries = entries}));
}

Result<void> WorkloadLog::measure(bool deploy, const agent_api::DeploymentDocument& document) {
  if (!rtmr3_) return {};
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= kMaxEntries) {
    board_.fail_check("reboot_required", "workload_log_full");
    return fail(ErrorCode::internal_error, "the workload log is full; a reboot is required");
  }
  auto next = entries_;
  next.push_back({.op = deploy ? "deploy" : "undeploy",
                  .payload = attestation::workload_payload(measured_event(deploy, document))});
  if (auto saved = save(next); !saved) return saved;
  if (auto done = rtmr3_->extend(attestation::workload_digest(next.back().payload)); !done) return done;
  entries_ = std::move(next);
  if (entries_.size() >= kMaxEntries) board_.fail_check("reboot_required", "workload_log_full");
  return {};
}

std::vector<agent_api::WorkloadLogEntry> WorkloadLog::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

}  // namespace ee::agent
