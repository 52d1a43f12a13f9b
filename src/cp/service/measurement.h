#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"
#include "common/json.h"
#include "common/metrics.h"
#include "cp/integration/cosign/cosign.h"
#include "cp/integration/registry/registry_client.h"
#include "cp/service/signature_policy.h"

namespace ee::cp {

/// What was found out about the signature of an image. `verified` null: nobody looked.
struct ImageSignature {
  std::optional<bool> verified = {};
  std::optional<std::string> signed_by = {};
  std::optional<std::string> issuer = {};
  std::optional<std::int64_t> log_index = {};
  std::optional<std::string> error = {};  ///< slug, when `verified` is false
};
BOOST_DESCRIBE_STRUCT(ImageSignature, (), (verified, signed_by, issuer, log_index, error))
constexpr std::string_view json_name(json::For<ImageSignature> /*type*/) { return "MeasuredSignature"; }

struct MeasuredImage {
  std::string original = {};
  std::string pinned = {};  ///< `host/path@sha256:...`
  std::string digest = {};  ///< of the manifest for `platform`
  std::optional<std::string> index_digest = {};
  std::string platform = {};
  ImageSignature signature = {};
  std::vector<std::string> warnings = {};  ///< slugs
};
BOOST_DESCRIBE_STRUCT(MeasuredImage, (), (original, pinned, digest, index_digest, platform, signature, warnings))
constexpr std::string_view json_name(json::For<MeasuredImage> /*type*/) { return "MeasuredImage"; }

/// What a compose file is, in digests (01 section 18.4).
struct Measurement {
  std::string measurement_type = "cp_digest_resolution";
  UtcTime measured_at = {};
  std::string compose_sha256 = {};  ///< of the bytes as sent
  std::string compose_hash = {};
  std::string workload_hash = {};
  std::string pinned_compose = {};                   ///< canonical JSON
  std::map<std::string, MeasuredImage> images = {};  ///< by service
};
BOOST_DESCRIBE_STRUCT(Measurement, (),
                      (measurement_type, measured_at, compose_sha256, compose_hash, workload_hash, pinned_compose,
                       images))
constexpr std::string_view json_name(json::For<Measurement> /*type*/) { return "Measurement"; }

/// Settings that a measurement reads.
struct MeasureSettings {
  registry::RegistryConfig registries = {};
  std::string cosign_binary = "cosign";
};

/// Turns compose files into digests, and looks at signatures. Blocks on registries and on cosign. Thread-safe.
class Measurer {
 public:
  struct Parts {
    registry::RegistryClient& registries;
    cosign::Cosign& cosign;
    Clock& clock;
    std::function<MeasureSettings()> settings;
    metrics::Registry& metrics;
  };
  static constexpr std::size_t kParallel = 4;
  static constexpr Milliseconds kTimeout{300'000};

  explicit Measurer(Parts parts);

  /// Measures what `account` publishes or deploys. Equal references are looked up once, four at a time; the first
  /// failure in the order of service names is the answer. `platform`: linux/amd64. `timeout`: at most kTimeout.
  /// Errors: compose_invalid, compose_forbidden, image_ref_invalid, those of RegistryClient::resolve; in mode strict
  /// those of Cosign::verify; platform_not_found (another platform); measurement_timeout.
  Result<Measurement> measure_compose(std::string_view compose, std::string_view platform,
                                      const SignaturePolicy& policy, const AccountId& account,
                                      const std::stop_token& stop, Milliseconds timeout = kTimeout) const;
  /// What one image is at the moment. Errors: those of RegistryClient::resolve.
  Result<registry::ResolvedImage> look_up(const ImageRef& reference, const AccountId& account,
                                          const std::stop_token& stop) const;

 private:
  Result<MeasuredImage> measure_image(const ImageRef& reference, const SignaturePolicy& policy,
                                      const MeasureSettings& settings, const AccountId& account,
                                      const std::stop_token& stop) const;

  Parts parts_;
  metrics::Family<metrics::Counter> images_;
  metrics::Family<metrics::Counter> signatures_;
};

/// Whether `code` may be another one when the measurement is tried again (03 section 7.2).
bool is_transient(ErrorCode code);

/// What a mode makes of the facts about a signature: an error is the slug of `signature.error` in mode strict;
/// otherwise the warnings of the image are complete. A mode `disabled` forgets what was found out.
Result<void> apply_signature_mode(SignatureMode mode, MeasuredImage& image);

}  // namespace ee::cp
