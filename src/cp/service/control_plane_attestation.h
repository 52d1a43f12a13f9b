#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "attestation/tsm/quote_source.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/random.h"
#include "cp/service/signing_keys.h"

namespace ee::cp {

/// The control plane's own evidence (01 section 14.2): a cached quote over a random nonce, made anew by a job, and live
/// ones over a caller's nonce. Never an answer without a quote. Thread-safe; making a quote may take seconds.
class ControlPlaneAttestation {
 public:
  /// Live quotes in the making at once; further callers are told to come back.
  static constexpr int kMaxLive = 4;

  /// `source` null: this machine has no TDX, every answer is `cp_attestation_unavailable`. `event_log`: base64 of the
  /// firmware's log of this boot, as `event_log_of` gives it.
  ControlPlaneAttestation(attestation::QuoteSource* source, const SigningKeys& signing_keys, std::string environment,
                          std::string audience, Clock& clock, Random& random,
                          std::optional<std::string> event_log = std::nullopt)
      : source_(source),
        signing_keys_(signing_keys),
        environment_(std::move(environment)),
        audience_(std::move(audience)),
        clock_(clock),
        random_(random),
        event_log_(std::move(event_log)) {}

  /// The cached quote; not older than twice `refresh`. Error: cp_attestation_unavailable.
  Result<agent_api::ControlPlaneAttestation> cached(Seconds refresh);
  /// A quote over this nonce. Errors: cp_attestation_unavailable; rate_limited when kMaxLive are being made.
  Result<agent_api::ControlPlaneAttestation> live(const ByteArray<32>& nonce, std::int64_t signing_keys_version);
  /// Makes the cached quote anew: job `cp_attestation_refresh`, and at the start. Error: cp_attestation_unavailable.
  Result<void> refresh(std::int64_t signing_keys_version);

  bool available() const { return source_ != nullptr; }
  /// When the cached quote was made.
  std::optional<UtcTime> cached_at() const;

 private:
  Result<agent_api::ControlPlaneAttestation> make(const ByteArray<32>& nonce, std::int64_t signing_keys_version);

  attestation::QuoteSource* source_;
  const SigningKeys& signing_keys_;
  std::string environment_;
  std::string audience_;
  Clock& clock_;
  Random& random_;
  const std::optional<std::string> event_log_;
  std::atomic<int> live_ = 0;
  mutable std::mutex mutex_;
  std::shared_ptr<const agent_api::ControlPlaneAttestation> cached_;
};

/// Base64 of the log at the beginning of the firmware's area (ACPI table CCEL), up to its end mark. Nothing when there
/// is none, it is not sound or it is too long to be sent.
std::optional<std::string> event_log_of(const std::string& ccel_path);

}  // namespace ee::cp
