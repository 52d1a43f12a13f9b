#include "cp/service/control_plane_attestation.h"

#include <fstream>

#include "attestation/binding.h"
#include "attestation/event_log.h"
#include "attestation/quote/quote.h"
#include "common/crypto.h"

namespace ee::cp {

namespace att = attestation;

Result<agent_api::ControlPlaneAttestation> ControlPlaneAttestation::cached(Seconds refresh) {
  const std::lock_guard lock(mutex_);
  if (!cached_ || clock_.now() - cached_->generated_at > 2 * refresh)
    return fail(Error{.code = ErrorCode::cp_attestation_unavailable, .retry_after = Seconds(5)});
  return *cached_;
}

Result<agent_api::ControlPlaneAttestation> ControlPlaneAttestation::live(const ByteArray<32>& nonce,
                                                                         std::int64_t signing_keys_version) {
  struct Slot {
    std::atomic<int>& live;
    int taken;
    explicit Slot(std::atomic<int>& counter) : live(counter), taken(++counter) {}
    ~Slot() { --live; }
  } const slot(live_);
  if (slot.taken > kMaxLive) return fail(Error{.code = ErrorCode::rate_limited, .retry_after = Seconds(1)});
  return make(nonce, signing_keys_version);
}

Result<void> ControlPlaneAttestation::refresh(std::int64_t signing_keys_version) {
  ByteArray<32> nonce{};
  if (!random_.fill(nonce)) return fail(ErrorCode::cp_attestation_unavailable, "the CSPRNG failed");
  auto made = make(nonce, signing_keys_version);
  if (!made) return std::unexpected(made.error());
  const std::lock_guard lock(mutex_);
  cached_ = std::make_shared<const agent_api::ControlPlaneAttestation>(std::move(*made));
  return {};
}

std::optional<UtcTime> ControlPlaneAttestation::cached_at() const {
  const std::lock_guard lock(mutex_);
  return cached_ ? std::optional(cached_->generated_at) : std::nullopt;
}

Result<agent_api::ControlPlaneAttestation> ControlPlaneAttestation::make(const ByteArray<32>& nonce,
                                                                         std::int64_t signing_keys_version) {
  const auto unavailable = [](std::string detail) {
    return fail(
        Error{.code = ErrorCode::cp_attestation_unavailable, .detail = std::move(detail), .retry_after = Seconds(5)});
  };
  if (source_ == nullptr) return unavailable("this machine has no TDX");
  const auto binding = att::control_plane_binding(signing_keys_.published_raw());
  const auto report_data = att::build_report_data(att::Purpose::control_plane, nonce, binding, audience_);
  const auto bytes = source_->generate(report_data.value);
  if (!bytes) return unavailable(std::string(slug(bytes.error().code)) + ": " + bytes.error().detail);
  const auto quote = att::parse_quote(*bytes, att::TrailingPolicy::zeros);
  if (!quote) return unavailable("the quote made here does not parse: " + quote.error().detail);
  if (!constant_time_equal(quote->report_data(), report_data.value))
    return unavailable("the quote has other report data");
  agent_api::ControlPlaneAttestation out{
      .environment = environment_,
      .emulated = quote->is_emulated(),
      .quote = to_base64(quote->bytes()),
      .quote_sha256 = to_hex(sha256(quote->bytes())),
      .nonce = to_hex(nonce),
      .audience = audience_,
      .purpose = std::string(att::to_string(att::Purpose::control_plane)),
      .binding = to_hex(binding),
      .signing_keys = {.version = signing_keys_version, .keys = signing_keys_.published()},
      .mrtd = to_hex(quote->mrtd()),
      .rtmrs = {},
      .report_data = to_hex(quote->report_data()),
      .event_log = event_log_,
      .generated_at = clock_.now()};
  for (std::size_t i = 0; i < 4; ++i) out.rtmrs.push_back(to_hex(quote->rtmr(i)));
  return out;
}

std::optional<std::string> event_log_of(const std::string& ccel_path) {
  std::ifstream file(ccel_path, std::ios::binary);
  ByteVector area(att::kEventLogMaxBytes);
  if (!file.read(reinterpret_cast<char*>(area.data()), static_cast<std::streamsize>(area.size())) && !file.eof())
    return std::nullopt;
  area.resize(static_cast<std::size_t>(file.gcount()));
  const auto log = att::replay_ccel(area);
  if (area.empty() || !log || log->size > agent_api::kMaxEventLogBytes) return std::nullopt;
  return to_base64(Bytes(area).first(log->size));
}

}  // namespace ee::cp
