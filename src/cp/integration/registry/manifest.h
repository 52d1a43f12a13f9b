#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"

namespace ee::cp::registry {

constexpr std::size_t kMaxManifestBytes = 4UL * 1024 * 1024;
/// The one platform that nodes run.
constexpr std::string_view kPlatform = "linux/amd64";

/// What a registry may answer for a manifest, for the `Accept` field.
extern const std::string_view kAcceptedManifests;

/// What a manifest's bytes say.
struct Manifest {
  std::string media_type;
  /// Of an index: the digest of its manifest for kPlatform. Nothing: this is the manifest of an image.
  std::optional<std::string> child = {};
};

/// Reads a manifest or an index (OCI image spec 1.1, Docker schema 2). `content_type`: of the answer, empty when it had
/// none; it and the body's own `mediaType` must agree. Errors: `manifest_unsupported` (not JSON, schema 1, another
/// kind, an index inside an index), `platform_not_found`.
Result<Manifest> read_manifest(std::string_view content_type, std::string_view body);

}  // namespace ee::cp::registry
