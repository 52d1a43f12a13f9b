#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ee::agent {

/// Percent-decodes once; nothing when an escape is broken or gives a control character.
std::optional<std::string> percent_decoded(std::string_view text);

/// How a path is meant: decoded and normalised once (dot segments, repeated slashes). `evasive`: it would name the
/// reserved prefix only after a second decoding, or cannot be decoded.
enum class PathKind : std::uint8_t { reserved, workload, evasive };
struct ClassifiedPath {
  PathKind kind = PathKind::workload;
  std::string normal = {};  ///< decoded and normalised
};
ClassifiedPath classify_path(std::string_view raw_path);

}  // namespace ee::agent
