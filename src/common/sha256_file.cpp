#include "common/sha256_file.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>

namespace ee {

std::optional<FileDigest> sha256_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex2(context.get(), EVP_sha256(), nullptr) != 1) return std::nullopt;
  FileDigest digest;
  std::array<char, 65536> piece{};
  while (file) {
    file.read(piece.data(), piece.size());
    const auto got = static_cast<std::size_t>(file.gcount());
    if (EVP_DigestUpdate(context.get(), piece.data(), got) != 1) return std::nullopt;
    digest.bytes += static_cast<std::int64_t>(got);
  }
  if (file.bad()) return std::nullopt;
  unsigned length = 0;
  if (EVP_DigestFinal_ex(context.get(), digest.sha256.data(), &length) != 1) return std::nullopt;
  return digest;
}

}  // namespace ee
