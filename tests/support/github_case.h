#pragma once
#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/url.h"
#include "net/curl_http_client.h"
#include "tests/standins/github/form.h"
#include "tests/standins/github/github.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

/// A whole control plane whose GitHub is the stand-in, reached over real HTTP.
class GithubCase {
 public:
  static constexpr const char* kAudience = "https://cp.example.com";

  explicit GithubCase(const TestControlPlane::Environment& more = {}) {
    github.start();
    TestControlPlane::Environment environment = {{"GITHUB_OAUTH_CLIENT_ID", github.client_id()},
                                                 {"GITHUB_OAUTH_CLIENT_SECRET", github.client_secret()},
                                                 {"EE_GITHUB_URL", github.url()},
                                                 {"EE_GITHUB_API_URL", github.url()},
                                                 {"CP_GITHUB_OIDC_AUDIENCE", kAudience},
                                                 {"CP_GITHUB_OIDC_ISSUER", github.url()},
                                                 {"CP_GITHUB_OIDC_JWKS_URL", github.jwks_url()}};
    for (const auto& [name, value] : more) environment[name] = value;
    cp = std::make_unique<TestControlPlane>(TestControlPlane::Options{.environment = std::move(environment)});
    cp->clock.set_auto_advance(true);  // waits between tries cost no time
    cp->http.set_answer([this](const HttpClientRequest& request) { return curl.send(request); });
  }

  /// Both clocks.
  void advance(Milliseconds by) {
    clock.advance(by);
    cp->clock.advance(by);
  }

  /// An account of type deployer, and GitHub owners that are linked to it.
  AccountId account(const std::string& name, const std::string& policy = "owner",
                    const std::string& status = "active") {
    AccountId id(new_uuid_v7(cp->clock.now(), cp->random).value());
    cp->execute(
        "INSERT INTO accounts (id, name, account_type, status, oidc_policy, created_at, created_by, updated_at)"
        " VALUES (:id, :name, 'deployer', :status, :policy, 1, 'test', 1)",
        {{"id", id}, {"name", name}, {"status", status}, {"policy", policy}});
    cp->execute("INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, 1, 1)",
                {{"id", id}});
    return id;
  }
  void link(const AccountId& account, std::int64_t github_id, const std::string& login,
            const std::string& kind = "org") {
    std::string norm = login;
    for (char& c : norm) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    cp->execute(
        "INSERT INTO account_identities (github_id, account_id, kind, login, login_norm, linked_by, linked_at)"
        " VALUES (:github_id, :account, :kind, :login, :norm, 'test', 1)",
        {{"github_id", github_id}, {"account", account}, {"kind", kind}, {"login", login}, {"norm", norm}});
  }

  /// `action reason_code` of the audit rows of these actions, the oldest first.
  std::vector<std::string> audited(const std::string& prefix) {
    return cp->values<std::string>(
        "SELECT action || ' ' || COALESCE(reason_code, '-') FROM audit_log WHERE action LIKE :prefix ORDER BY at, id",
        {{"prefix", prefix + "%"}});
  }

  FakeClock clock;
  net::CurlHttpClient curl;
  standins::Github github{clock};
  std::unique_ptr<TestControlPlane> cp;
};

/// A browser: keeps cookies, and goes where it is sent.
class Browser {
 public:
  explicit Browser(GithubCase& test, bool json = false) : test_(test), json_(json) {}

  TestAnswer get(const std::string& path) {
    std::vector<HttpHeader> headers = {
        {"Accept", json_ ? "application/json" : "text/html,application/xhtml+xml,*/*;q=0.8"},
        {"User-Agent", "Test/1.0"}};
    if (!cookies.empty()) {
      std::string field;
      for (const auto& [name, value] : cookies) field += (field.empty() ? "" : "; ") + name + "=" + value;
      headers.push_back({"Cookie", field});
    }
    const TestAnswer answer = test_.cp->call("GET", path, "", headers, address);
    for (const HttpHeader& header : answer.headers) {
      if (header.name != "Set-Cookie") continue;
      const std::size_t equals = header.value.find('=');
      const std::string value = header.value.substr(equals + 1, header.value.find(';') - equals - 1);
      if (value.empty())
        cookies.erase(header.value.substr(0, equals));
      else
        cookies[header.value.substr(0, equals)] = value;
    }
    return answer;
  }

  /// From our page to GitHub: the URL there.
  std::string start(const std::string& query = "") {
    const TestAnswer answer = get("/auth/github" + (query.empty() ? "" : "?" + query));
    if (!json_) return answer.header("Location");
    return answer.status == 200 ? std::string(json::parse(answer.body)->at("auth_url").as_string()) : "";
  }
  /// What GitHub sends the browser back with: path and query at our site.
  std::string at_github(const std::string& url) {
    const auto answer = test_.curl.send({.url = url});
    if (!answer || answer->status != 302) return "";
    const std::string to(answer->header("Location").value_or(""));
    return to.starts_with(TestControlPlane::kOrigin) ? to.substr(std::string_view(TestControlPlane::kOrigin).size())
                                                     : "";
  }
  TestAnswer sign_in(const std::string& query = "") { return get(at_github(start(query))); }

  std::map<std::string, std::string> cookies;
  std::string address = "";

 private:
  GithubCase& test_;
  bool json_;
};

}  // namespace ee::testing
