#pragma once
#include <cstdint>

#include "common/bytes.h"

namespace ee::attestation::tdvf {

/// The little-endian integer at `offset`, which lies in `bytes` with all of its bytes.
template <class T>
T load(Bytes bytes, std::size_t offset) {
  T out = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out = static_cast<T>(out | static_cast<T>(T{bytes[offset + i]} << (8 * i)));
  return out;
}

}  // namespace ee::attestation::tdvf
