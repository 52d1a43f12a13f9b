#include "agent/config_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <filesystem>

#include "agent/files.h"
#include "agent/proc_text.h"
#include "attestation/quote/quote.h"
#include "common/config_payload.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSerial = "ee-config";

/// A device or file, read at places.
class Device {
 public:
  explicit Device(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  bool read(std::uint64_t offset, std::span<std::uint8_t> out) const {
    while (!out.empty()) {
      const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return true;
  }

 private:
  int fd_;
};

ConfigFailure disk_failure(std::string problem) { return {.problems = {std::move(problem)}}; }

/// Where kept payloads lie. Host sources may not say it, since it is asked before they are read.
std::string run_dir_of(const ConfigInputs& inputs) {
  if (const auto flag = inputs.flags.find("run_dir"); flag != inputs.flags.end()) return flag->second;
  for (const auto& [name, value] : inputs.environment)
    if (name == "EE_AGENT_RUN_DIR") return value;
  for (const SourceDocument& document : inputs.documents) {
    if (document.source != Source::file) continue;
    const auto value = json::parse(document.text);
    if (!value || !value->is_object()) continue;
    const auto* text = value->get_object().if_contains("run_dir");
    if (text != nullptr && text->is_string()) return std::string(text->get_string().data(), text->get_string().size());
  }
  return AgentConfig{}.run_dir;
}

std::string kept_path(const std::string& run_dir) { return run_dir + "/config.json"; }

}  // namespace

std::vector<std::string> config_disk_devices(const Host& host) {
  std::vector<std::string> disks;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(host.root() + "/sys/block", ignored)) {
    const std::string name = entry.path().filename().string();
    const auto serial = name.starts_with("vd") ? host.read("sys/block/" + name + "/serial", 64) : std::nullopt;
    if (serial && trimmed(*serial) == kSerial) disks.push_back(host.root() + "/dev/" + name);
  }
  std::ranges::sort(disks);
  for (const char* drive : {"/dev/sr0", "/dev/sr1"}) disks.push_back(host.root() + drive);
  return disks;
}

std::expected<void, ConfigFailure> add_config_disk(ConfigInputs& inputs, const Host& host) {
  for (const std::string& path : config_disk_devices(host)) {
    const Device device(path);
    if (!device.is_open()) continue;
    auto payload =
        read_config_disk([&](std::uint64_t offset, std::span<std::uint8_t> out) { return device.read(offset, out); });
    if (!payload) return std::unexpected(disk_failure(fmt::format("{}: {}", path, payload.error().detail)));
    if (!*payload) continue;
    inputs.documents.push_back({.source = Source::config_disk, .name = path, .text = std::move(**payload)});
    return {};
  }
  const std::string kept = kept_path(run_dir_of(inputs));
  auto text = read_file(kept, kMaxConfigPayload);
  if (text) {
    inputs.documents.push_back({.source = Source::config_disk, .name = kept, .text = std::move(*text)});
  } else if (text.error() != FileFailure::missing) {
    return std::unexpected(disk_failure(fmt::format("{}: {}", kept, to_string(text.error()))));
  }
  return {};
}

Result<void> check_config_digest(attestation::QuoteSource& quotes, const std::optional<std::string>& payload,
                                 Random& random) {
  ByteArray<64> report_data{};
  if (!random.fill(report_data)) return fail(ErrorCode::internal_error, "no random bytes");
  const auto raw = quotes.generate(report_data);
  if (!raw) return fail(raw.error());
  const auto quote = attestation::parse_quote(*raw, attestation::TrailingPolicy::zeros);
  if (!quote) return fail(quote.error());
  const auto expected = quote->mrconfigid();
  if (std::ranges::all_of(expected, [](std::uint8_t byte) { return byte == 0; })) return {};
  if (!payload) return fail(ErrorCode::config_digest_mismatch, "MRCONFIGID is set, and there is no configuration disk");
  if (!std::ranges::equal(sha384(bytes_of(*payload)), expected))
    return fail(ErrorCode::config_digest_mismatch, "the configuration disk is not the one of MRCONFIGID");
  return {};
}

Result<void> keep_config_payload(const std::string& run_dir, const std::string& payload) {
  if (const auto kept = read_file(kept_path(run_dir), kMaxConfigPayload); kept && *kept == payload) return {};
  return write_file_atomically(kept_path(run_dir), payload);
}

}  // namespace ee::agent
