#include "tests/standins/github/github.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <stdexcept>

#include "common/crypto.h"
#include "common/json.h"
#include "common/require.h"
#include "common/url.h"
#include "net/server.h"
#include "tests/standins/github/form.h"
#include "tests/support/jose_keys.h"

namespace ee::standins {
namespace {

using boost::json::array;
using boost::json::object;

net::Response json_response(int status, const boost::json::value& body) {
  return {.status = status,
          .headers = {{"Content-Type", "application/json; charset=utf-8"}},
          .body = boost::json::serialize(body)};
}
net::Response message(int status, std::string_view text) {
  return json_response(status, object{{"message", std::string(text)}});
}
/// Refusals of a code come with status 200.
net::Response refused(std::string_view error, std::string_view description) {
  return json_response(200, object{{"error", std::string(error)}, {"error_description", std::string(description)}});
}
net::Response moved(std::string location) {
  return {.status = 302, .headers = {{"Location", std::move(location)}}, .body = {}};
}
net::Response page(int status, std::string_view text) {
  return {.status = status, .headers = {{"Content-Type", "text/html"}}, .body = std::string(text)};
}

std::string text_of_member(const object& from, const char* name, std::string_view fallback = "") {
  const auto* const value = from.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string(fallback);
}
std::int64_t number_of_member(const object& from, const char* name, std::int64_t fallback) {
  const auto* const value = from.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : fallback;
}

bool reads_organizations(const std::string& scopes) {
  return std::ranges::any_of(std::array{"read:org", "write:org", "admin:org"}, [&](const char* scope) {
    return (',' + scopes + ',').find(std::string(",") + scope + ',') != std::string::npos;
  });
}

std::string without_key_word(std::string_view authorization) {
  for (const std::string_view scheme : {"Bearer ", "token "})
    if (authorization.starts_with(scheme)) return std::string(authorization.substr(scheme.size()));
  return "";
}

}  // namespace

class Github::App final : public net::Application {
 public:
  explicit App(Github& owner) : owner_(owner) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override { return owner_.answer(request); }

 private:
  Github& owner_;
  net::RouteInfo route_{.route_template = "/"};
};

Github::Github(Clock& clock, std::string client_id, std::string client_secret)
    : clock_(clock), client_id_(std::move(client_id)), client_secret_(std::move(client_secret)) {
  static const jose::PrivateKey first = jose::PrivateKey::from_pem(testing::make_rsa_key(2048).pem).value();
  keys_.push_back({.kid = "github-1", .key = first});
  keys_made_ = 1;
}

Github::~Github() { release(); }

void Github::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  config.worker_threads = 16;  // so that many calls can hang at once
  auto server = net::Server::start(std::move(config), *app_, server_clock_, random_);
  if (!server) throw std::runtime_error("the GitHub stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

void Github::stop() {
  release();
  server_.reset();
}

std::string Github::url() const { return server_->url(); }

void Github::sign_in_as(GithubUser user) {
  const std::lock_guard lock(mutex_);
  at_the_browser_ = std::move(user);
}

std::string Github::rotate_key(bool keep_old) {
  auto key = jose::PrivateKey::from_pem(testing::make_rsa_key(2048).pem).value();
  const std::lock_guard lock(mutex_);
  if (!keep_old) keys_.clear();
  keys_.push_back({.kid = fmt::format("github-{}", ++keys_made_), .key = std::move(key)});
  return keys_.back().kid;
}

void Github::publish(std::vector<std::string> jwks) {
  const std::lock_guard lock(mutex_);
  further_keys_ = std::move(jwks);
}

void Github::fail(const std::string& path, const GithubFault& fault, std::size_t count) {
  const std::lock_guard lock(mutex_);
  faults_[path].insert(faults_[path].end(), count, fault);
}

void Github::hold(const std::string& path) {
  const std::lock_guard lock(mutex_);
  held_.insert(path);
}

void Github::release() {
  const std::lock_guard lock(mutex_);
  held_.clear();
  changed_.notify_all();
}

void Github::wait_for_requests(const std::string& path, std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return static_cast<std::size_t>(std::ranges::count(requests_, path, &GithubRequest::path)) >= count;
  });
}

std::vector<GithubRequest> Github::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t Github::count(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count(requests_, path, &GithubRequest::path));
}

net::Response Github::answer(const net::Request& request) {
  std::unique_lock lock(mutex_);
  if (request.path.starts_with("/_test/")) return control(request, lock);
  requests_.push_back({.method = request.method,
                       .path = request.path,
                       .query = request.query,
                       .headers = request.headers,
                       .body = request.body});
  changed_.notify_all();
  changed_.wait(lock, request.stop, [&] { return !held_.contains(request.path); });
  if (auto fault = faulty(lock, request)) return std::move(*fault);
  if (request.method == "GET" && request.path == "/login/oauth/authorize") return authorize(request);
  if (request.method == "POST" && request.path == "/login/oauth/access_token") return access_token(request);
  if (request.method == "GET" && request.path == "/user") return user(request);
  if (request.method == "GET" && request.path == "/user/memberships/orgs") return memberships(request);
  if (request.method == "GET" && request.path == "/.well-known/jwks") return keys();
  return message(404, "Not Found");
}

std::optional<net::Response> Github::faulty(std::unique_lock<std::mutex>& lock, const net::Request& request) {
  const auto found = faults_.find(request.path);
  if (found == faults_.end() || found->second.empty()) return std::nullopt;
  const GithubFault fault = found->second.front();
  found->second.pop_front();
  if (fault.delay_ms > 0) {
    lock.unlock();
    server_clock_.sleep_for(Milliseconds(fault.delay_ms), request.stop);
    lock.lock();
  }
  net::Response response{.status = fault.status, .headers = {{"Content-Type", "application/json"}}, .body = fault.body};
  response.drop = fault.drop;
  return response;
}

net::Response Github::authorize(const net::Request& request) {
  const Form query = parse_form(request.query);
  if (query.get("client_id") != client_id_) return page(404, "no such application");
  if (query.get("code_challenge_method") != "S256" || query.get("code_challenge").size() != 43)
    return page(400, "code_challenge must be there, by S256");
  const std::string redirect = query.get("redirect_uri");
  if (!parse_url(redirect) || query.get("state").empty()) return page(400, "redirect_uri or state");
  const std::string state = "state=" + percent_encode(query.get("state"));
  if (at_the_browser_.denies)
    return moved(redirect + "?error=access_denied&error_description=The+user+has+denied+your+application+access.&" +
                 state);
  const std::string code = random_text().substr(0, 20);
  std::string scope = query.get("scope");
  std::ranges::replace(scope, ' ', ',');
  codes_[code] = {.user = at_the_browser_,
                  .redirect_uri = redirect,
                  .challenge = query.get("code_challenge"),
                  .scope = at_the_browser_.granted_scope.value_or(scope)};
  return moved(redirect + "?code=" + code + '&' + state);
}

net::Response Github::access_token(const net::Request& request) {
  const Form form = parse_form(request.body);
  if (form.get("client_id") != client_id_ || form.get("client_secret") != client_secret_)
    return refused("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.");
  const auto found = codes_.find(form.get("code"));
  if (found == codes_.end()) return refused("bad_verification_code", "The code passed is incorrect or expired.");
  const Code code = found->second;
  codes_.erase(found);
  if (form.get("redirect_uri") != code.redirect_uri)
    return refused("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.");
  if (to_base64url(sha256(bytes_of(form.get("code_verifier")))) != code.challenge)
    return refused("bad_verification_code", "The code_verifier does not fit the code_challenge.");
  const std::string token = "gho_" + random_text();
  tokens_[token] = {.user = code.user, .scope = code.scope};
  return json_response(200, object{{"access_token", token}, {"token_type", "bearer"}, {"scope", code.scope}});
}

const Github::Grant* Github::grant_of(const net::Request& request) const {
  const auto found = tokens_.find(without_key_word(request.header("Authorization").value_or("")));
  return found == tokens_.end() ? nullptr : &found->second;
}

net::Response Github::user(const net::Request& request) const {
  const Grant* grant = grant_of(request);
  if (grant == nullptr) return message(401, "Bad credentials");
  const std::string id = std::to_string(grant->user.id);
  return json_response(200, object{{"login", grant->user.login},
                                   {"id", grant->user.id},
                                   {"node_id", "MDQ6VXNlcj"},
                                   {"avatar_url", "https://avatars.githubusercontent.com/u/" + id + "?v=4"},
                                   {"type", "User"},
                                   {"site_admin", false},
                                   {"email", nullptr},
                                   {"plan", object{{"name", "free"}}}});
}

net::Response Github::memberships(const net::Request& request) const {
  const Grant* grant = grant_of(request);
  if (grant == nullptr) return message(401, "Bad credentials");
  if (!reads_organizations(grant->scope)) return message(403, "You need at least read:org scope");
  const Form query = parse_form(request.query);
  array out;
  for (const GithubOrg& org : grant->user.organizations) {
    if (!query.get("state").empty() && org.state != query.get("state")) continue;
    if (out.size() == 100) break;
    out.push_back(object{{"url", "https://api.github.com/orgs/" + org.login + "/memberships/x"},
                         {"state", org.state},
                         {"role", org.role},
                         {"organization", object{{"login", org.login}, {"id", org.id}, {"description", ""}}},
                         {"user", object{{"login", grant->user.login}, {"id", grant->user.id}}}});
  }
  return json_response(200, out);
}

net::Response Github::keys() const {
  std::string body;
  for (const Key& key : keys_) body += (body.empty() ? "" : ",") + key.key.public_jwk(key.kid, jose::Algorithm::rs256);
  for (const std::string& jwk : further_keys_) body += (body.empty() ? "" : ",") + jwk;
  return {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = R"({"keys":[)" + body + "]}"};
}

net::Response Github::control(const net::Request& request, std::unique_lock<std::mutex>& lock) {
  const auto parsed = json::parse(request.body.empty() ? "{}" : request.body);
  if (request.method != "POST" || !parsed || !parsed->is_object()) return message(400, "POST a JSON object");
  const object& body = parsed->get_object();
  if (request.path == "/_test/oidc-token") {
    const auto* const wanted = body.if_contains("claims");
    object all = claims(text_of_member(body, "audience", "https://cp.example.com"));
    if (wanted != nullptr && wanted->is_object())
      for (const auto& member : wanted->get_object()) all[member.key()] = member.value();
    lock.unlock();
    return json_response(
        200, object{{"value", token(all, text_of_member(body, "alg", "RS256"), text_of_member(body, "kid"))}});
  }
  if (request.path == "/_test/rotate-key") {
    const auto* const keep = body.if_contains("keep_old");
    lock.unlock();
    return json_response(200, object{{"kid", rotate_key(keep == nullptr || !keep->is_bool() || keep->get_bool())}});
  }
  if (request.path == "/_test/user") {
    GithubUser user{.id = number_of_member(body, "id", 583231), .login = text_of_member(body, "login", "octocat")};
    if (const auto* const orgs = body.if_contains("organizations"); orgs != nullptr && orgs->is_array())
      for (const auto& org : orgs->get_array())
        if (org.is_object())
          user.organizations.push_back({.id = number_of_member(org.get_object(), "id", 0),
                                        .login = text_of_member(org.get_object(), "login"),
                                        .role = text_of_member(org.get_object(), "role", "member")});
    if (body.contains("scope")) user.granted_scope = text_of_member(body, "scope");
    const auto* const denies = body.if_contains("denies");
    user.denies = denies != nullptr && denies->is_bool() && denies->get_bool();
    at_the_browser_ = std::move(user);
    return json_response(200, object{});
  }
  if (request.path == "/_test/faults") {
    const auto* const drop = body.if_contains("drop");
    const GithubFault fault{.status = static_cast<int>(number_of_member(body, "status", 503)),
                            .drop = drop != nullptr && drop->is_bool() && drop->get_bool(),
                            .body = text_of_member(body, "body"),
                            .delay_ms = static_cast<int>(number_of_member(body, "delay_ms", 0))};
    lock.unlock();
    fail(text_of_member(body, "path"), fault, static_cast<std::size_t>(number_of_member(body, "count", 1)));
    return json_response(200, object{});
  }
  return message(404, "no such control");
}

object Github::claims(std::string_view audience) const {
  const std::int64_t now = unix_ms(clock_.now()) / 1000;
  return {{"iss", url()},
          {"aud", std::string(audience)},
          {"sub", "repo:octo-org/app:ref:refs/heads/main"},
          {"jti", random_text()},
          {"iat", now},
          {"nbf", now - 300},
          {"exp", now + 300},
          {"repository", "octo-org/app"},
          {"repository_id", "7001"},
          {"repository_owner", "octo-org"},
          {"repository_owner_id", "9001"},
          {"repository_visibility", "private"},
          {"ref", "refs/heads/main"},
          {"ref_type", "branch"},
          {"sha", "2b7e1516"},
          {"event_name", "push"},
          {"run_id", "4242"},
          {"run_number", "10"},
          {"run_attempt", "1"},
          {"actor", "octocat"},
          {"actor_id", "583231"},
          {"workflow", "deploy"},
          {"workflow_ref", "octo-org/app/.github/workflows/deploy.yml@refs/heads/main"},
          {"job_workflow_ref", "octo-org/app/.github/workflows/deploy.yml@refs/heads/main"},
          {"runner_environment", "github-hosted"}};
}

std::string Github::token(const object& claims, const std::string& algorithm, const std::string& kid) const {
  return token(claims, algorithm, kid, {});
}

std::string Github::token(const object& claims, const std::string& algorithm, const std::string& kid,
                          const object& header) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(keys_, kid, &Key::kid);
  const Key& key = found == keys_.end() ? keys_.back() : *found;
  object all = {{"typ", "JWT"}, {"alg", algorithm}, {"kid", kid.empty() ? key.kid : kid}, {"x5t", "thumbprint"}};
  for (const auto& member : header) all[member.key()] = member.value();
  const std::string input = to_base64url(bytes_of(boost::json::serialize(all))) + '.' +
                            to_base64url(bytes_of(boost::json::serialize(claims)));
  if (algorithm == "none") return input + '.';
  if (algorithm == "HS256") {
    const std::string secret = key.key.public_jwk(key.kid, jose::Algorithm::rs256);
    return input + '.' + to_base64url(hmac_sha256(bytes_of(secret), bytes_of(input)));
  }
  return input + '.' + to_base64url(key.key.sign(jose::Algorithm::rs256, bytes_of(input)).value());
}

std::string Github::random_text() const {
  ByteArray<18> bytes{};
  require(random_.fill(bytes));
  std::string text = to_base64url(bytes);
  std::ranges::replace(text, '-', 'a');
  std::ranges::replace(text, '_', 'b');
  return text;
}

}  // namespace ee::standins
