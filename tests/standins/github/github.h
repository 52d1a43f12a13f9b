#pragma once
#include <boost/json/fwd.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/jose.h"
#include "common/random.h"
#include "net/http.h"

namespace ee::net {
class Server;
}

namespace ee::standins {

struct GithubOrg {
  std::int64_t id = 0;
  std::string login;
  std::string role = "member";
  std::string state = "active";
};

/// Somebody with an account at GitHub.
struct GithubUser {
  std::int64_t id = 0;
  std::string login;
  std::vector<GithubOrg> organizations = {};
  /// What this user gives the application leave to do; by default all that it asks for.
  std::optional<std::string> granted_scope = {};
  bool denies = false;  ///< says no on the consent page
};

/// An answer that comes instead of the right one.
struct GithubFault {
  int status = 503;
  bool drop = false;      ///< closes the connection without a byte
  std::string body = {};  ///< with `status` 200: this instead of the right body
  int delay_ms = 0;       ///< on the stand-in's own clock, before the answer
};

struct GithubRequest {
  std::string method;
  std::string path;
  std::string query;
  std::vector<HttpHeader> headers;
  std::string body;
};

/// Stand-in for GitHub: a real HTTP server on 127.0.0.1 that is OAuth server, REST API and OIDC issuer in one.
///
/// `GET /login/oauth/authorize` signs the chosen user in and sends the browser back with a code; `POST
/// /login/oauth/access_token` exchanges a code once, and checks client, redirect and PKCE (S256) as GitHub does; `GET
/// /user` and `GET /user/memberships/orgs` want its token, the latter with `read:org`. `GET /.well-known/jwks`
/// publishes the keys of Actions tokens. For programs: `POST /_test/oidc-token {claims, alg, kid}` makes such a token,
/// `POST
/// /_test/rotate-key {keep_old}`, `POST /_test/user {id, login, organizations, scope, denies}`, `POST /_test/faults
/// {path, status|drop|delay_ms|body, count}`. Thread-safe.
class Github {
 public:
  /// `clock` is what tokens are dated by.
  explicit Github(Clock& clock, std::string client_id = "Iv1.test-client",
                  std::string client_secret = "test-client-secret");
  ~Github();
  Github(const Github&) = delete;
  Github& operator=(const Github&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  void stop();
  std::string url() const;  ///< `github_oauth.base_url` and `api_url`, and the OIDC issuer
  std::string jwks_url() const { return url() + "/.well-known/jwks"; }
  const std::string& client_id() const { return client_id_; }
  const std::string& client_secret() const { return client_secret_; }

  /// Who sits at the browser from now on.
  void sign_in_as(GithubUser user);
  /// A new key under a new kid; the old ones stay published only with `keep_old`. Returns the new kid.
  std::string rotate_key(bool keep_old = true);
  /// Publishes further JWKs, as JSON texts.
  void publish(std::vector<std::string> jwks);
  /// The next `count` requests to this path get this.
  void fail(const std::string& path, const GithubFault& fault, std::size_t count = 1);
  /// Requests to this path wait until `release`, as at a hung server.
  void hold(const std::string& path);
  void release();
  void wait_for_requests(const std::string& path, std::size_t count);

  /// The claims of a token as GitHub Actions makes them for a push to `refs/heads/main` of `octo-org/app`, at the
  /// clock's time and for five minutes. The issuer is this server.
  boost::json::object claims(std::string_view audience) const;
  /// A token with these claims. `algorithm`: RS256 by the key of that kid (the latest by default); `none`; `HS256` with
  /// the public key's text as secret. `header`: members that are added or replaced.
  std::string token(const boost::json::object& claims, const std::string& algorithm = "RS256",
                    const std::string& kid = "") const;
  std::string token(const boost::json::object& claims, const std::string& algorithm, const std::string& kid,
                    const boost::json::object& header) const;

  std::vector<GithubRequest> requests() const;
  std::size_t count(std::string_view path) const;

  /// What the server answers; needs no server.
  net::Response answer(const net::Request& request);

 private:
  class App;
  struct Key {
    std::string kid;
    jose::PrivateKey key;
  };
  struct Code {
    GithubUser user;
    std::string redirect_uri;
    std::string challenge;
    std::string scope;
  };
  struct Grant {
    GithubUser user;
    std::string scope;
  };
  std::optional<net::Response> faulty(std::unique_lock<std::mutex>& lock, const net::Request& request);
  net::Response authorize(const net::Request& request);
  net::Response access_token(const net::Request& request);
  net::Response user(const net::Request& request) const;
  net::Response memberships(const net::Request& request) const;
  net::Response keys() const;
  net::Response control(const net::Request& request, std::unique_lock<std::mutex>& lock);
  const Grant* grant_of(const net::Request& request) const;
  std::string random_text() const;

  Clock& clock_;
  const std::string client_id_;
  const std::string client_secret_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  GithubUser at_the_browser_{.id = 583231, .login = "octocat"};
  std::map<std::string, Code> codes_;
  std::map<std::string, Grant> tokens_;
  std::vector<Key> keys_;  ///< the last one signs
  std::size_t keys_made_ = 0;
  std::vector<std::string> further_keys_;
  std::map<std::string, std::deque<GithubFault>> faults_;
  std::set<std::string> held_;
  std::vector<GithubRequest> requests_;
  SystemClock server_clock_;
  mutable SystemRandom random_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
