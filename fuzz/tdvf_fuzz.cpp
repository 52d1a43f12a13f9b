// covers: S01_TDVF_002
// Firmware files and PE images. A firmware whose sections are accepted gets an MRTD; files with much memory are left
// out, since hashing it takes long and is the same loop.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "attestation/tdvf/tdvf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ee::Bytes input(data, size);
  if (const auto sections = ee::attestation::read_tdvf(input)) {
    std::uint64_t memory = 0;
    for (const auto& section : *sections) {
      memory += section.memory_size;
      if (section.extend && section.data_offset + section.memory_size > size) std::abort();
    }
    if (memory <= 1024UL * 1024 && !ee::attestation::compute_mrtd(input, ee::attestation::PageOrder::two_pass))
      std::abort();
  }
  (void)ee::attestation::authenticode_sha384(input);
  return 0;
}
