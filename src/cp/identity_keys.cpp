#include "cp/identity_keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/crypto.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxKeyFile = 4096;

/// The whole file, or nothing when there is none. Refuses one that others can read.
std::expected<std::optional<Secret>, std::string> read_key_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<Secret>{};
    return std::unexpected(path.string() + " cannot be opened");
  }
  struct stat info{};
  std::string text(kMaxKeyFile, '\0');
  const bool sound = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const ssize_t got = sound ? ::read(fd, text.data(), text.size()) : -1;
  ::close(fd);
  if (got <= 0) return std::unexpected(path.string() + " cannot be read");
  if ((info.st_mode & 077U) != 0) return std::unexpected(path.string() + " can be read by others: chmod 600");
  Secret secret(text.substr(0, static_cast<std::size_t>(got)));
  wipe(text);
  return std::optional(std::move(secret));
}

/// Written whole under another name first: a crash leaves no half of a key.
bool write_key_file(const std::filesystem::path& path, const std::string& text) {
  const std::string temporary = path.string() + ".new";
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  ::close(fd);
  return written && ::rename(temporary.c_str(), path.c_str()) == 0;
}

std::expected<Ed25519PrivateKey, std::string> signing_key(const Config& config, const std::filesystem::path& directory,
                                                          Random& random) {
  const auto from_pem = [](const Secret& pem,
                           const std::string& where) -> std::expected<Ed25519PrivateKey, std::string> {
    auto key = Ed25519PrivateKey::from_pkcs8_pem(pem.reveal());
    if (!key) return std::unexpected(where + " is no PKCS#8 PEM of an Ed25519 key");
    return std::move(*key);
  };
  if (config.cp_signing_key) return from_pem(*config.cp_signing_key, "EE_CP_SIGNING_KEY");
  if (config.stage != Stage::dev) return std::unexpected("EE_CP_SIGNING_KEY: required outside dev");
  const auto path = directory / "cp-signing-key.pem";
  auto stored = read_key_file(path);
  if (!stored) return std::unexpected(stored.error());
  if (*stored) return from_pem(**stored, path.string());
  auto made = Ed25519PrivateKey::generate(random);
  if (!made) return std::unexpected("the system's random source failed");
  std::string pem = made->to_pkcs8_pem();
  const bool written = write_key_file(path, pem);
  wipe(pem);
  if (!written) return std::unexpected(path.string() + " cannot be written");
  return std::move(*made);
}

}  // namespace

std::expected<IdentityKeys, std::string> load_identity_keys(const Config& config,
                                                            const std::filesystem::path& directory,
                                                            Seconds challenge_ttl, UtcTime now, Random& random) {
  auto signing = signing_key(config, directory, random);
  if (!signing) return std::unexpected(signing.error());
  ByteArray<32> secrets{};
  if (config.secrets_key) {
    std::ranges::copy(bytes_of(config.secrets_key->reveal()), secrets.begin());
  } else if (!random.fill(secrets)) {
    return std::unexpected("the system's random source failed");
  }
  ChallengeKeys challenge{.current = challenge_key(secrets), .old = {}, .old_until = now + challenge_ttl};
  for (const Secret& old : config.secrets_keys_old) challenge.old.push_back(challenge_key(bytes_of(old.reveal())));
  return IdentityKeys{.signing = SigningKeys(std::move(*signing), config.cp_signing_keys_old),
                      .challenge = std::move(challenge),
                      .cursor = hkdf_sha256(secrets, "easyenclave.cursor.1")};
}

}  // namespace ee::cp
