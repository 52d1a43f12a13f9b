// What cosign prints. The input is its output; the digest asked about is fixed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/bytes.h"
#include "cp/integration/cosign/cosign_output.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string digest = "sha256:" + std::string(64, '1');
  const std::string_view text = ee::text_of({data, size});
  const auto signatures = ee::cp::cosign::read_output(text, digest);
  if (signatures && (signatures->empty() || text.find(digest) == std::string_view::npos) &&
      text.find('\\') == std::string_view::npos)
    std::abort();
  for (const char c : ee::cp::cosign::last_line(text))
    if (static_cast<unsigned char>(c) < 0x20) std::abort();
  return 0;
}
