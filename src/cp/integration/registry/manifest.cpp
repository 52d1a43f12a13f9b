#include "cp/integration/registry/manifest.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/image_ref.h"
#include "common/jose.h"
#include "common/json.h"

namespace ee::cp::registry {

const std::string_view kAcceptedManifests =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

namespace {

using boost::json::object;

constexpr std::array<std::string_view, 2> kIndexTypes = {"application/vnd.oci.image.index.v1+json",
                                                         "application/vnd.docker.distribution.manifest.list.v2+json"};
constexpr std::array<std::string_view, 2> kManifestTypes = {"application/vnd.oci.image.manifest.v1+json",
                                                            "application/vnd.docker.distribution.manifest.v2+json"};

bool is_index(std::string_view type) { return std::ranges::find(kIndexTypes, type) != kIndexTypes.end(); }
bool is_manifest(std::string_view type) { return std::ranges::find(kManifestTypes, type) != kManifestTypes.end(); }

std::unexpected<Error> unsupported(std::string detail) {
  return fail(ErrorCode::manifest_unsupported, std::move(detail));
}

std::string_view text_or_empty(const object& from, std::string_view name) {
  return jose::text_member(from, name).value_or("");
}

/// Attestations, signatures and the like lie in indexes beside the images.
bool is_no_image(const object& entry) {
  if (entry.contains("artifactType")) return true;
  const boost::json::value* const annotations = entry.if_contains("annotations");
  return annotations != nullptr && annotations->is_object() &&
         annotations->get_object().contains("vnd.docker.reference.type");
}

bool is_for_us(const object& entry) {
  const boost::json::value* const platform = entry.if_contains("platform");
  if (platform == nullptr || !platform->is_object()) return false;
  const object& of = platform->get_object();
  const boost::json::value* const variant = of.if_contains("variant");
  const bool plain = variant == nullptr || (variant->is_string() && variant->get_string().empty());
  return plain && text_or_empty(of, "os") == "linux" && text_or_empty(of, "architecture") == "amd64";
}

Result<std::string> choose(const boost::json::array& entries) {
  bool nested = false;
  for (const boost::json::value& item : entries) {
    const object* const entry = item.if_object();
    if (entry == nullptr) return unsupported("an entry of the index is no object");
    if (is_no_image(*entry)) continue;
    const std::string_view type = text_or_empty(*entry, "mediaType");
    nested = nested || is_index(type);
    if (!is_for_us(*entry)) continue;
    if (is_index(type)) return unsupported("an index inside an index");
    if (!is_manifest(type)) return unsupported("the image in the index is of an unknown kind");
    const std::string_view digest = text_or_empty(*entry, "digest");
    if (!is_image_digest(digest)) return unsupported("the image in the index has no SHA-256 digest");
    return std::string(digest);
  }
  if (nested) return unsupported("an index inside an index");
  return fail(ErrorCode::platform_not_found, "no image for linux/amd64");
}

}  // namespace

Result<Manifest> read_manifest(std::string_view content_type, std::string_view body) {
  const auto value = json::parse(body, {.max_bytes = kMaxManifestBytes});
  if (!value || !value->is_object()) return unsupported("the manifest is not JSON");
  const object& root = value->get_object();
  std::string_view stated = content_type.substr(0, content_type.find(';'));
  while (stated.ends_with(' ')) stated.remove_suffix(1);
  const std::string_view own = text_or_empty(root, "mediaType");
  // A proxy may state nothing more than that it is JSON; then the body must say what it is.
  const bool known = is_index(stated) || is_manifest(stated);
  if (known && !own.empty() && own != stated) return unsupported("the manifest and its content type disagree");
  const std::string type(known ? stated : own);
  if (jose::integer_member(root, "schemaVersion") != 2) return unsupported("not a manifest of schema 2");

  const boost::json::value* const entries = root.if_contains("manifests");
  const boost::json::value* const config = root.if_contains("config");
  if (is_index(type)) {
    if (entries == nullptr || !entries->is_array() || config != nullptr || root.contains("layers"))
      return unsupported("not an index");
    auto child = choose(entries->get_array());
    if (!child) return std::unexpected(std::move(child.error()));
    return Manifest{.media_type = type, .child = std::move(*child)};
  }
  if (!is_manifest(type)) return unsupported("a manifest of another kind");
  if (config == nullptr || !config->is_object() || entries != nullptr) return unsupported("not an image's manifest");
  return Manifest{.media_type = type};
}

}  // namespace ee::cp::registry
