#pragma once
#include <boost/json/value.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"

/// Compose files as something to measure: what measure_compose needs, without the rules of deploying. 01 section 18.4.
namespace ee::compose {

/// Reads a compose file (YAML 1.2 core schema, one document, a mapping at the top) as JSON, with aliases and merge keys
/// expanded and members in the order of the file. Bounds: 64 KiB of UTF-8, depth 32, 10,000 nodes (keys count) and
/// 100 aliases after expansion, 256 KiB of expanded text; duplicate keys, custom tags, keys that are not strings, NaN,
/// infinities and integers beyond 2^53 are refused.
/// Error: `compose_invalid`, members `line` and `column` (from 1).
Result<boost::json::value> read_compose(std::string_view text);

struct ServiceImage {
  std::string service;
  std::string image;  ///< as written; not yet parsed
};

/// The services' images in the order of the file. Errors: `compose_invalid` (no or too many services, wrong shapes),
/// `compose_forbidden` with a JSON pointer for each of: no image, `build`, `extends`, `include`, `env_file`, a file
/// behind `secrets` or `configs`, `${...}` in an image.
Result<std::vector<ServiceImage>> images_to_measure(const boost::json::value& compose);

/// RFC 8785 text; numbers with fractions are written as ECMAScript does. `compose` comes from `read_compose`.
std::string canonical_compose(const boost::json::value& compose);

/// The file with each service's image replaced; services that `pinned` does not name stay as they are.
boost::json::value with_images(const boost::json::value& compose, const std::map<std::string, std::string>& pinned);

/// SHA-256("easyenclave.compose.1" || 00 || canonical text), hex. With pinned images it is the `workload_hash`.
std::string compose_hash(const boost::json::value& compose);

}  // namespace ee::compose
