#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"

namespace ee {

constexpr std::size_t kMaxImageRefChars = 512;

/// A container image by name: `[host[:port]/]path[:tag][@digest]`, in its full form. 01 section 18.1.
struct ImageRef {
  std::string host;  ///< lower case, with its port if one was given; `docker.io` when the text names none
  std::string path;  ///< `library/nginx`
  std::string tag;   ///< empty only when there is a digest and no tag
  std::optional<std::string> digest = {};  ///< `sha256:<64 hex>`; when present it counts and the tag does not
  bool implicit_latest = false;            ///< neither tag nor digest was given; `tag` is `latest`

  /// `host/path`.
  std::string repository() const { return host + "/" + path; }
  /// `host/path@sha256:...`, or nothing without a digest.
  std::optional<std::string> pinned() const;
  /// The pinned reference to another digest of the same repository.
  std::string pinned_to(std::string_view digest) const { return repository() + "@" + std::string(digest); }
  /// Where the registry's API answers: `registry-1.docker.io` for Docker Hub, else `host`.
  std::string_view api_host() const;
  bool operator==(const ImageRef&) const = default;
};

/// Reads a reference. Error: `image_ref_invalid`; the detail does not repeat the text.
Result<ImageRef> parse_image_ref(std::string_view text);

/// Whether `text` is `sha256:` and 64 lower-case hexadecimal digits.
bool is_image_digest(std::string_view text);

}  // namespace ee
