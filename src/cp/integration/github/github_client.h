#pragma once
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/metrics.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee::cp::github {

/// `github_oauth.*` settings.
struct OAuthConfig {
  std::string base_url;  ///< `https://github.com`: where people and codes go
  std::string api_url;   ///< `https://api.github.com`
  std::string client_id;
  Secret client_secret;
  std::string redirect_uri;

  /// Whether people can sign in through GitHub at all.
  bool complete() const { return !client_id.empty() && !client_secret.empty() && !redirect_uri.empty(); }
};

/// The URL that a browser is sent to (04 section 3.5). `code_challenge` is the S256 one of PKCE (RFC 7636).
std::string authorize_url(const OAuthConfig& config, std::string_view state, std::string_view code_challenge);

/// What a code was exchanged for. Lives for the length of one sign-in and is stored nowhere.
struct AccessToken {
  Secret token;
  std::vector<std::string> scopes = {};

  /// Whether organisations may be read: `read:org`, or a scope that holds it.
  bool reads_organizations() const;
};

struct User {
  std::int64_t id = 0;  ///< above 0; never given to anybody else
  std::string login;    ///< may be given to somebody else one day
  std::string avatar_url;
};

/// An organisation in which somebody is an active member.
struct Membership {
  std::int64_t id = 0;
  std::string login;
  std::string role;  ///< `admin` or `member`
};

/// GitHub's OAuth and REST interface, the four calls that a sign-in needs. Blocks for up to 10 s a try; a stop request
/// ends it at once. Redirects are not followed. GETs are tried three times where that can help, the exchange of a code
/// never twice. Thread-safe.
class Client {
 public:
  static constexpr Milliseconds kConnectTimeout{3'000};
  static constexpr Milliseconds kTotalTimeout{10'000};
  static constexpr std::size_t kMaxAnswerBytes = 64UL * 1024;
  static constexpr std::size_t kMaxMembershipBytes = 1024UL * 1024;
  static constexpr std::size_t kMaxMemberships = 100;

  /// The references outlive this. Counts `ee_github_calls_total{call,result}`.
  Client(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics);

  /// Exchanges the code of a callback. Errors: github_oauth_rejected (GitHub says no; its reason is in the log, cut to
  /// 200 bytes), github_unavailable (no answer, 5xx, not JSON, not what GitHub documents).
  [[nodiscard]] Result<AccessToken> exchange(const OAuthConfig& config, std::string_view code,
                                             std::string_view code_verifier, const std::stop_token& stop) const;
  /// Who the token is of. Errors: github_oauth_rejected (401), github_unavailable.
  [[nodiscard]] Result<User> user(const OAuthConfig& config, const AccessToken& token,
                                  const std::stop_token& stop) const;
  /// Active memberships, at most kMaxMemberships. Errors: the same.
  [[nodiscard]] Result<std::vector<Membership>> memberships(const OAuthConfig& config, const AccessToken& token,
                                                            const std::stop_token& stop) const;

 private:
  Result<std::string> get(std::string_view call, std::string url, const AccessToken& token, std::size_t max_bytes,
                          const std::stop_token& stop) const;
  template <class T>
  Result<T> counted(std::string_view call, Result<T> result) const;

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  metrics::Family<metrics::Counter> calls_;
};

}  // namespace ee::cp::github
