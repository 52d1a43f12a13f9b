// What of a measurement is believed and kept.
#include <algorithm>
#include <boost/json/value.hpp>

#include "common/compose/measure_form.h"
#include "cp/service/publish_rules.h"
#include "cp/service/version_measuring.h"

namespace ee::cp {
namespace {

std::unexpected<Error> inconsistent(std::string detail) {
  return fail(ErrorCode::measurement_inconsistent, std::move(detail));
}

/// One image's digests against what the version names. A reference with a digest means that one, or an index that has
/// it.
Result<void> check_image(const std::string& service, const ImageRef& wanted, const MeasuredImage& image) {
  const auto pinned = parse_image_ref(image.pinned);
  if (!pinned || !pinned->digest || pinned->pinned() != image.pinned || *pinned->digest != image.digest)
    return inconsistent(service + ": the pinned reference and the digest do not fit");
  if (pinned->repository() != wanted.repository()) return inconsistent(service + ": another repository");
  if (image.index_digest && !is_image_digest(*image.index_digest)) return inconsistent(service + ": no digest");
  if (wanted.digest && *wanted.digest != image.digest && wanted.digest != image.index_digest)
    return inconsistent(service + ": not the digest that the version names");
  if (image.platform != registry::kPlatform) return inconsistent(service + ": another platform");
  return {};
}

struct Declared {
  std::map<std::string, std::string> digests;
};
BOOST_DESCRIBE_STRUCT(Declared, (), (digests))

Result<void> check_declared(const AppVersionRow& version, const std::map<std::string, MeasuredImage>& images) {
  if (!version.declared_digests) return {};
  const auto declared = json::read<Declared>(R"({"digests":)" + *version.declared_digests + "}");
  if (!declared) return std::unexpected(declared.error());
  for (const auto& [service, digest] : declared->digests) {
    const auto found = images.find(service);
    if (found == images.end() || (found->second.digest != digest && found->second.index_digest != digest))
      return fail(ErrorCode::declared_digest_mismatch, service + ": the registry has another digest");
  }
  return {};
}

}  // namespace

Result<SignaturePolicy> policy_of(const AppRow& app, const SignatureSettings& common) {
  return merge_signature_policy(common, {.mode = app.signature_mode,
                                         .identity_regexp = app.signer_identity_regexp,
                                         .issuer = app.signer_issuer,
                                         .source_repo = app.source_repo});
}

Result<AttestedContent> content_of(const AppVersionRow& version, const Measurement& measurement,
                                   const PublishSettings& settings) {
  if (measurement.compose_sha256 != version.compose_sha256) return inconsistent("another compose text was measured");
  const auto workload = check_stored_compose(version, settings);
  if (!workload) return std::unexpected(workload.error());
  if (measurement.images.size() != workload->services.size()) return inconsistent("a service is missing or extra");
  Measurement kept = measurement;
  kept.images.clear();
  std::map<std::string, std::string> pinned;
  const auto originals = compose::images_to_measure(workload->as_written);
  if (!originals) return std::unexpected(originals.error());
  for (const compose::ServiceImage& original : *originals) {
    const compose::Service* const service = workload->find(original.service);
    const auto found = measurement.images.find(original.service);
    if (service == nullptr || found == measurement.images.end()) return inconsistent("a service is missing or extra");
    if (auto good = check_image(original.service, service->image, found->second); !good)
      return std::unexpected(std::move(good.error()));
    MeasuredImage image = found->second;
    image.original = original.image;
    pinned[original.service] = image.pinned;
    kept.images.emplace(original.service, std::move(image));
  }
  if (auto good = check_declared(version, kept.images); !good) return std::unexpected(std::move(good.error()));
  const auto resolved = compose::resolve(*workload, pinned);
  if (!resolved) return std::unexpected(resolved.error());
  kept.measurement_type = "cp_digest_resolution";
  kept.compose_hash = resolved->compose_hash;
  kept.workload_hash = resolved->workload_hash;
  kept.pinned_compose = compose::canonical_compose(compose::with_images(workload->as_written, pinned));
  return AttestedContent{.resolved_compose = resolved->compose,
                         .images = json::write(kept.images),
                         .compose_hash = resolved->compose_hash,
                         .workload_hash = resolved->workload_hash,
                         .measurement = json::write(kept)};
}

}  // namespace ee::cp
