#include "attestation/tdvf/sha384_stream.h"

#include <openssl/evp.h>

#include "common/require.h"

namespace ee::attestation::tdvf {

struct Sha384Stream::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha384Stream::Sha384Stream() : context_(std::make_unique<Context>()) {
  require(context_->hash != nullptr && EVP_DigestInit_ex(context_->hash.get(), EVP_sha384(), nullptr) == 1);
}
Sha384Stream::~Sha384Stream() = default;

void Sha384Stream::add(Bytes bytes) {
  require(EVP_DigestUpdate(context_->hash.get(), bytes.data(), bytes.size()) == 1);
}

ByteArray<48> Sha384Stream::finish() {
  ByteArray<48> out{};
  require(EVP_DigestFinal_ex(context_->hash.get(), out.data(), nullptr) == 1);
  return out;
}

}  // namespace ee::attestation::tdvf
