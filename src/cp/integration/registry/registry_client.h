#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/id.h"
#include "common/image_ref.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/integration/registry/manifest.h"

namespace ee::cp::registry {

/// Name and password at one registry, and the accounts whose images may be read with them.
struct Credential {
  std::string username;
  Secret password;
  bool for_all = false;
  std::vector<AccountId> accounts = {};

  bool serves(const AccountId& account) const;
};

/// Which registries may be asked, and how. Hosts are `host` (any port) or `host:port`.
struct RegistryConfig {
  std::vector<std::string> allowed_hosts = {};          ///< empty: all
  std::vector<std::string> allowed_private_hosts = {};  ///< may have addresses that are not public
  std::vector<std::string> insecure_hosts = {};         ///< are asked without TLS
  std::map<std::string, Credential> credentials = {};   ///< by host, as references name it

  /// What may be used to read images of `account` at `host`; null: nothing.
  const Credential* credential_for(std::string_view host, const AccountId& account) const;
};

/// Reads the setting `registry.credentials`: `{host: {"username", "password", "accounts": [ids] or "*"}}`; `accounts`
/// absent: nobody's. Nothing when it is not that.
std::optional<std::map<std::string, Credential>> parse_credentials(const Secret& text);

/// What a reference stands for at the moment.
struct ResolvedImage {
  std::string reference = {};  ///< in full form
  std::string host = {};
  std::string path = {};
  std::string tag = {};  ///< empty: the reference has only a digest
  std::optional<std::string> index_digest = {};
  std::string manifest_digest = {};  ///< of the manifest for kPlatform
  std::string media_type = {};
  std::int64_t size = 0;  ///< of that manifest, bytes
  std::string pinned = {};
};

/// Registries by the OCI distribution protocol, as far as it takes to turn a reference into digests (01 section 18.2).
///
/// Nothing a registry says is believed: digests are those of the bytes that came. Hosts, token services and redirect
/// targets must be https and have public addresses unless the configuration says otherwise; credentials go only to the
/// host they are for (and the token service that it names), never along with a redirect to another one. Blocks for at
/// most 30 s. Thread-safe.
class RegistryClient {
 public:
  static constexpr Milliseconds kConnectTimeout{5'000};
  static constexpr Milliseconds kTotalTimeout{30'000};
  static constexpr int kTries = 3;
  static constexpr int kMaxRedirects = 3;
  static constexpr std::size_t kMaxTokenBytes = 64UL * 1024;
  static constexpr std::size_t kMaxCachedTokens = 1024;

  /// The references outlive this.
  RegistryClient(HttpClient& http, Clock& clock, Random& random) : http_(http), clock_(clock), random_(random) {}

  /// `account`: whose image it is, for credentials. Errors: image_not_found, digest_mismatch, manifest_unsupported,
  /// platform_not_found, registry_host_refused, registry_auth_failed, registry_unavailable.
  Result<ResolvedImage> resolve(const RegistryConfig& config, const ImageRef& image, const AccountId& account,
                                const std::stop_token& stop);

 private:
  struct Task;
  struct Token {
    std::string value;
    SteadyTime expires_at;
  };
  struct Fetched {
    std::string digest;
    std::string content_type;
    std::string body;
  };
  Result<Fetched> fetch(Task& task, const std::string& reference);
  Result<HttpClientResponse> get(const Task& task, const std::string& url, const std::string& authorization,
                                 std::size_t max_bytes);
  Result<HttpClientResponse> get_once(const Task& task, std::string url, std::string authorization,
                                      std::size_t max_bytes, bool& may_pass);
  Result<std::string> authorize(const Task& task, const HttpClientResponse& refused);
  Result<std::string> token(const Task& task, const std::string& realm, const std::optional<std::string>& service);
  std::optional<std::string> cached_token(const std::string& key);
  void cache_token(const std::string& key, Token token);

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  std::mutex mutex_;  // guards tokens_
  std::map<std::string, Token> tokens_;
};

}  // namespace ee::cp::registry
