// Manifests and indexes of a registry. The input is the content type, a line feed, and the body.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/bytes.h"
#include "common/image_ref.h"
#include "cp/integration/registry/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  const auto manifest = ee::cp::registry::read_manifest(text.substr(0, line), text.substr(line + 1));
  if (!manifest) return 0;
  if (manifest->media_type.empty()) std::abort();
  if (manifest->child && !ee::is_image_digest(*manifest->child)) std::abort();
  return 0;
}
