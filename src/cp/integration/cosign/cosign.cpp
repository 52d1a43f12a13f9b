#include "cp/integration/cosign/cosign.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "common/bytes.h"
#include "common/json.h"
#include "common/outside_calls.h"
#include "common/posix_subprocess.h"
#include "common/require.h"
#include "cp/integration/cosign/cosign_output.h"

namespace ee::cp::cosign {
namespace {

constexpr std::chrono::milliseconds kLook{10};  // how often it is asked whether the child has ended

constexpr int kNoSignature = 10;
constexpr int kNoImage = 11;
constexpr int kUntrusted = 12;

/// A directory that nobody else can read, removed at the end.
class PrivateDirectory {
 public:
  PrivateDirectory() {
    std::error_code ignored;
    std::string pattern = std::filesystem::temp_directory_path(ignored) / "ee-cosign-XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  bool made() const { return !path_.empty(); }
  const std::string& path() const { return path_; }

  [[nodiscard]] bool write(const std::string& name, std::string_view content) const {
    const int file = ::open((path_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return false;
    bool good = true;
    while (good && !content.empty()) {
      const ssize_t wrote = ::write(file, content.data(), content.size());
      good = wrote > 0 || (wrote < 0 && errno == EINTR);
      if (wrote > 0) content.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return ::close(file) == 0 && good;
  }

 private:
  std::string path_;
};

/// As Docker keeps logins: cosign reads them from there.
std::string docker_config(const Login& login) {
  // Docker Hub's login stands under the name of its first interface.
  const std::string host = login.host == "docker.io" ? "https://index.docker.io/v1/" : login.host;
  const std::string pair = to_base64(bytes_of(login.username + ':' + login.password.reveal()));
  return fmt::format(R"({{"auths":{{{}:{{"auth":{}}}}}}})", json::quote(host), json::quote(pair));
}

/// What a child has written so far.
struct Output {
  std::mutex mutex;
  std::string bytes;
  std::string last;
  std::size_t size = 0;

  bool take(std::size_t more) {
    size += more;
    return size <= Cosign::kMaxOutput;
  }
  bool too_large() {
    const std::lock_guard lock(mutex);
    return size > Cosign::kMaxOutput;
  }
};

Result<std::vector<Signature>> result_of(const ExitStatus& ended, const Output& output, const std::string& digest) {
  if (ended.code == 0) return read_output(output.bytes, digest);
  if (ended.code == kNoSignature) return fail(ErrorCode::signature_missing, "the image has no signature");
  if (ended.code == kNoImage) return fail(ErrorCode::image_not_found, "cosign does not find the image");
  if (ended.code == kUntrusted) return fail(ErrorCode::signature_untrusted, "no signature is by an allowed signer");
  return fail(ErrorCode::signature_error, "cosign: " + last_line(output.last));
}

}  // namespace

Result<Signature> Cosign::verify(const std::string& binary, const Rule& rule, const Image& image,
                                 const std::stop_token& stop) const {
  require(outside_calls_allowed());
  if (!find_program(binary, parts_.path)) return fail(ErrorCode::cosign_missing, "cosign is not there");
  if (!image.index_digest) return verify_digest(binary, rule, image, image.manifest_digest, stop);
  auto of_index = verify_digest(binary, rule, image, *image.index_digest, stop);
  if (of_index || of_index.error().code != ErrorCode::signature_missing) return of_index;
  return verify_digest(binary, rule, image, image.manifest_digest, stop);
}

Result<Signature> Cosign::verify_digest(const std::string& binary, const Rule& rule, const Image& image,
                                        const std::string& digest, const std::stop_token& stop) const {
  const PrivateDirectory home;
  if (!home.made() || (rule.mode == Mode::key && !home.write("cosign.pub", rule.public_key)) ||
      (image.login && !home.write("config.json", docker_config(*image.login))))
    return fail(ErrorCode::signature_error, "no directory could be made for cosign");
  const std::string program = *find_program(binary, parts_.path);
  const std::string target = image.repository + '@' + digest;

  if (rule.mode == Mode::key) {
    std::vector<std::string> argv = {program, "verify", "--output", "json", "--key", home.path() + "/cosign.pub"};
    if (!rule.require_tlog) argv.emplace_back("--insecure-ignore-tlog=true");
    argv.insert(argv.end(), {"--", target});
    auto found = run(std::move(argv), home.path(), digest, stop);
    if (!found) return std::unexpected(std::move(found.error()));
    return found->front();
  }
  // One expression a run: cosign takes one, and what two allow together it alone can say.
  require(!rule.identities.empty());
  std::optional<std::vector<Signature>> good;
  for (const Identity& identity : rule.identities) {
    auto found = run(
        {program, "verify", "--output", "json", "--certificate-oidc-issuer", rule.issuer,
         identity.is_regexp ? "--certificate-identity-regexp" : "--certificate-identity", identity.text, "--", target},
        home.path(), digest, stop);
    if (!found) return std::unexpected(std::move(found.error()));
    if (!good)
      good = std::move(*found);
    else
      std::erase_if(*good, [&](const Signature& one) { return std::ranges::find(*found, one) == found->end(); });
  }
  if (good->empty())
    return fail(ErrorCode::signature_untrusted, "no one signature is by a signer allowed by all rules");
  return good->front();
}

Result<std::vector<Signature>> Cosign::run(std::vector<std::string> argv, const std::string& home,
                                           const std::string& digest, const std::stop_token& stop) const {
  Output output;
  const SteadyTime deadline = parts_.clock.steady_now() + parts_.timeout;
  auto child = parts_.launcher.start({.argv = std::move(argv),
                                      .environment = {{"HOME", Secret(home)},
                                                      {"DOCKER_CONFIG", Secret(home)},
                                                      {"PATH", Secret(parts_.path)},
                                                      {"SSL_CERT_FILE", Secret(parts_.ssl_cert_file)}},
                                      .on_line =
                                          [&output](std::string_view line) {
                                            const std::lock_guard lock(output.mutex);
                                            if (output.take(line.size())) output.last = line;
                                          },
                                      .on_output =
                                          [&output](std::string_view bytes) {
                                            const std::lock_guard lock(output.mutex);
                                            if (output.take(bytes.size())) output.bytes += bytes;
                                          }});
  if (!child) return fail(ErrorCode::cosign_missing, "cosign cannot be started");

  std::mutex mutex;
  std::condition_variable_any wake;
  std::optional<ExitStatus> ended;
  std::optional<SteadyTime> asked_to_end;
  bool too_large = false;
  while (!(ended = (*child)->poll())) {
    const SteadyTime now = parts_.clock.steady_now();
    too_large = output.too_large();
    if (too_large || (asked_to_end && now >= *asked_to_end + parts_.grace)) break;
    if (!asked_to_end && (now >= deadline || stop.stop_requested())) {
      (*child)->send(SubprocessSignal::terminate);
      asked_to_end = now;
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kLook, [] { return false; });
    if (stop.stop_requested()) wake.wait_for(lock, kLook, [] { return false; });
  }
  child->reset();  // kills what is left of its group, and joins the reader of its output
  if (too_large || output.size > kMaxOutput)
    return fail(ErrorCode::cosign_output_too_large, "cosign wrote more than 1 MiB");
  if (asked_to_end || !ended) return fail(ErrorCode::cosign_timeout, "cosign took too long");
  return result_of(*ended, output, digest);
}

}  // namespace ee::cp::cosign
