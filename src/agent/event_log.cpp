#include "agent/event_log.h"

#include <algorithm>

#include "attestation/event_log.h"
#include "common/agent_api.h"
#include "common/log.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxAreaBytes = 4096UL * 1024;  // of the firmware's table; the log is its beginning

}  // namespace

std::optional<ByteVector> read_event_log(const Host& host) {
  const auto area = host.read("sys/firmware/acpi/tables/data/CCEL", kMaxAreaBytes);
  if (!area) return std::nullopt;
  const Bytes raw = bytes_of(*area);
  const auto replayed = attestation::replay_ccel(raw.first(std::min(raw.size(), attestation::kEventLogMaxBytes)));
  if (!replayed) {
    log::warn("evidence", "the event log is not sound", {{"detail", replayed.error().detail}});
    return std::nullopt;
  }
  if (replayed->size > agent_api::kMaxEventLogBytes) {
    log::warn("evidence", "the event log is too long to be sent", {{"bytes", replayed->size}});
    return std::nullopt;
  }
  const Bytes used = raw.first(replayed->size);
  return ByteVector(used.begin(), used.end());
}

}  // namespace ee::agent
