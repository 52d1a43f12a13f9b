#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/secret.h"
#include "common/subprocess.h"

namespace ee::cp::cosign {

/// Whose signature counts.
struct Identity {
  std::string text;
  bool is_regexp = false;  ///< Go syntax, which cosign runs without backtracking
  bool operator==(const Identity&) const = default;
};
enum class Mode : std::uint8_t { keyless, key };
struct Rule {
  Mode mode = Mode::keyless;
  std::string issuer = {};                ///< keyless
  std::vector<Identity> identities = {};  ///< keyless: one signature must fit every one; never empty
  std::string public_key = {};            ///< key: PEM
  bool require_tlog = true;
};

/// A name and password at a registry, for images that not everybody may read.
struct Login {
  std::string host;
  std::string username;
  Secret password;
};

/// What is checked. The parts come from a parsed reference, so none of them can be an option.
struct Image {
  std::string repository;  ///< `host/path`
  std::optional<std::string> index_digest = {};
  std::string manifest_digest = {};
  std::optional<Login> login = {};
};

struct Signature {
  std::optional<std::string> signed_by = {};
  std::optional<std::string> issuer = {};
  std::optional<std::int64_t> log_index = {};
  bool operator==(const Signature&) const = default;
};

/// Signatures of images, by the program cosign (01 section 18.3). It gets an argument vector, a directory of its own
/// for each call, and no environment but HOME, DOCKER_CONFIG, PATH and SSL_CERT_FILE. Thread-safe.
class Cosign {
 public:
  struct Parts {
    SubprocessLauncher& launcher;
    Clock& clock;
    std::string path;           ///< its PATH, in which its name is looked for too
    std::string ssl_cert_file;  ///< of the roots
    Milliseconds timeout{60'000};
    Milliseconds grace{5'000};  ///< between TERM and KILL
  };
  static constexpr std::size_t kMaxOutput = 1024UL * 1024;  ///< standard output and standard error together

  explicit Cosign(Parts parts) : parts_(std::move(parts)) {}

  /// Checks the index's digest, if there is one, and when that has no signature the manifest's. `binary`: an absolute
  /// path, or a name on PATH. Errors: signature_missing, signature_untrusted, signature_output_invalid,
  /// signature_error, image_not_found, cosign_missing, cosign_timeout, cosign_output_too_large.
  Result<Signature> verify(const std::string& binary, const Rule& rule, const Image& image,
                           const std::stop_token& stop) const;

 private:
  Result<Signature> verify_digest(const std::string& binary, const Rule& rule, const Image& image,
                                  const std::string& digest, const std::stop_token& stop) const;
  Result<std::vector<Signature>> run(std::vector<std::string> argv, const std::string& home, const std::string& digest,
                                     const std::stop_token& stop) const;

  Parts parts_;
};

}  // namespace ee::cp::cosign
