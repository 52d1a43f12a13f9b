#include "attestation/workload_log.h"

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::attestation {

std::string workload_payload(const WorkloadEvent& event) { return json::write(event); }

std::optional<WorkloadEvent> read_workload_payload(std::string_view payload) {
  auto event = json::read<WorkloadEvent>(payload, {.max_bytes = 4096, .max_depth = 2, .max_nodes = 16});
  if (!event || workload_payload(*event) != payload) return std::nullopt;
  return std::move(*event);
}

Measurement workload_digest(std::string_view payload) {
  constexpr std::string_view kDomain{"easyenclave.workload.1\0", 23};
  ByteVector text;
  append(text, bytes_of(kDomain));
  append(text, bytes_of(payload));
  return sha384(text);
}

Measurement replay_workload_log(std::span<const std::string_view> payloads) {
  Measurement rtmr{};
  for (const std::string_view payload : payloads) {
    ByteVector text(rtmr.begin(), rtmr.end());
    append(text, workload_digest(payload));
    rtmr = sha384(text);
  }
  return rtmr;
}

}  // namespace ee::attestation
