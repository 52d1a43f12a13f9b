#pragma once
#include <memory>

#include "common/bytes.h"

namespace ee::attestation::tdvf {

/// SHA-384 of bytes that come in parts. Stops the process when OpenSSL has no memory.
class Sha384Stream {
 public:
  Sha384Stream();
  Sha384Stream(const Sha384Stream&) = delete;
  Sha384Stream& operator=(const Sha384Stream&) = delete;
  ~Sha384Stream();

  void add(Bytes bytes);
  ByteArray<48> finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace ee::attestation::tdvf
