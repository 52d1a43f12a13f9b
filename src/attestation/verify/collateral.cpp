#include "attestation/verify/collateral.h"

#include "attestation/verify/p256.h"

namespace ee::attestation {
namespace {

/// The lengths keep two different pairs from giving the same bytes.
ByteArray<32> digest_of(std::string_view body, std::string_view issuer_chain) {
  ByteVector all;
  all.reserve(body.size() + issuer_chain.size() + sizeof(std::uint64_t));
  for (std::size_t i = 0; i < sizeof(std::uint64_t); ++i)
    all.push_back(static_cast<std::uint8_t>(std::uint64_t{body.size()} >> (8 * i)));
  append(all, body);
  append(all, issuer_chain);
  return openssl_sha256(all);
}

}  // namespace

CollateralItem::CollateralItem(std::string body, std::string issuer_chain)
    : body_(std::move(body)), issuer_chain_(std::move(issuer_chain)), digest_(digest_of(body_, issuer_chain_)) {}

}  // namespace ee::attestation
