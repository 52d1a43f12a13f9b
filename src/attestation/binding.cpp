#include "attestation/binding.h"

#include <cstdlib>

#include "common/crypto.h"
#include "common/require.h"

namespace ee::attestation {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kReportDataDomain = "easyenclave.rd.1"sv;
constexpr std::string_view kAgentDomain = "ee-agent-binding-v1\0"sv;
constexpr std::string_view kControlPlaneDomain = "ee-cp-binding-v1\0"sv;
constexpr std::size_t kAudienceMaxBytes = 255;

}  // namespace

std::string_view to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::register_: return "register";
    case Purpose::refresh: return "refresh";
    case Purpose::control_plane: return "control_plane";
    case Purpose::public_: return "public";
  }
  std::abort();
}

ByteArray<32> agent_binding(std::span<const std::uint8_t, 32> signing_key,
                            std::span<const std::uint8_t, 32> sealing_key, std::string_view vm_name) {
  ByteVector text;
  append(text, kAgentDomain);
  append(text, signing_key);
  append(text, sealing_key);
  append(text, vm_name);
  return sha256(text);
}

ByteArray<32> control_plane_binding(const std::vector<ByteArray<32>>& keys_sorted_by_kid) {
  ByteVector text;
  append(text, kControlPlaneDomain);
  for (const auto& key : keys_sorted_by_kid) append(text, key);
  return sha256(text);
}

ReportData build_report_data(Purpose purpose, std::span<const std::uint8_t, 32> nonce,
                             std::span<const std::uint8_t, 32> binding, std::string_view audience) {
  require(!audience.empty() && audience.size() <= kAudienceMaxBytes);
  ReportData out{};
  append(out.preimage, kReportDataDomain);
  out.preimage.push_back(static_cast<std::uint8_t>(purpose));
  append(out.preimage, nonce);
  append(out.preimage, binding);
  out.preimage.push_back(0);  // the length is 16 bits, big-endian, and at most 255
  out.preimage.push_back(static_cast<std::uint8_t>(audience.size()));
  append(out.preimage, audience);
  out.value = sha512(out.preimage);
  return out;
}

}  // namespace ee::attestation
