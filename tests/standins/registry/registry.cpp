#include "tests/standins/registry/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <stdexcept>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/jose.h"
#include "common/json.h"
#include "net/server.h"

namespace ee::standins {
namespace {

constexpr const char* kManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndex = "application/vnd.oci.image.index.v1+json";

net::Response problem(int status, std::string_view code) {
  return {.status = status,
          .headers = {{"Content-Type", "application/json"}},
          .body = fmt::format(R"({{"errors":[{{"code":"{}","message":"no"}}]}})", code)};
}

std::string basic(const std::string& username, const std::string& password) {
  return "Basic " + to_base64(bytes_of(username + ':' + password));
}

}  // namespace

class Registry::App final : public net::Application {
 public:
  explicit App(Registry& owner) : owner_(owner) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override { return owner_.answer(request); }

 private:
  Registry& owner_;
  net::RouteInfo route_{.route_template = "/"};
};

Registry::Registry() = default;
Registry::~Registry() = default;

void Registry::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  auto server = net::Server::start(std::move(config), *app_, clock_, random_);
  if (!server) throw std::runtime_error("the registry stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

std::uint16_t Registry::port() const { return server_->port(); }
std::string Registry::host() const { return fmt::format("127.0.0.1:{}", port()); }

std::string Registry::digest_of(const std::string& body) { return "sha256:" + to_hex(sha256(bytes_of(body))); }

std::string Registry::manifest_text(const std::string& content) {
  return fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{0}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{1}","size":2}},"layers":[]}})",
      kManifest, digest_of(content));
}

std::string Registry::put(const std::string& path, const std::string& tag, const std::string& media_type,
                          const std::string& body) {
  const std::lock_guard lock(mutex_);
  const std::string digest = digest_of(body);
  blobs_[path + '@' + digest] = {.media_type = media_type, .body = body};
  if (!tag.empty()) tags_[path + ':' + tag] = digest;
  return digest;
}

std::string Registry::put_image(const std::string& path, const std::string& tag, const std::string& content) {
  return put(path, tag, kManifest, manifest_text(content));
}

std::string Registry::put_index(const std::string& path, const std::string& tag, const std::string& content) {
  const std::string ours = put_image(path, "", content);
  const std::string other = put_image(path, "", content + " for arm64");
  const auto entry = [](const std::string& digest, const char* os, const char* architecture, const char* more) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":2,"platform":{{"os":"{}","architecture":"{}"}}{}}})",
                       kManifest, digest, os, architecture, more);
  };
  return put(path, tag, kIndex,
             fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{},{},{}]}})", kIndex,
                         entry(other, "linux", "arm64", ""),
                         entry(digest_of(content), "unknown", "unknown",
                               R"(,"annotations":{"vnd.docker.reference.type":"attestation-manifest"})"),
                         entry(ours, "linux", "amd64", "")));
}

void Registry::remove_tag(const std::string& path, const std::string& tag) {
  const std::lock_guard lock(mutex_);
  tags_.erase(path + ':' + tag);
}

void Registry::require_token(const std::string& username, const std::string& password) {
  const std::lock_guard lock(mutex_);
  wants_token_ = true;
  username_ = username;
  password_ = password;
}
void Registry::require_basic(const std::string& username, const std::string& password) {
  const std::lock_guard lock(mutex_);
  wants_basic_ = true;
  username_ = username;
  password_ = password;
}
void Registry::set_realm(const std::string& realm) {
  const std::lock_guard lock(mutex_);
  realm_ = realm;
}
void Registry::set_token_body(const std::string& body) {
  const std::lock_guard lock(mutex_);
  token_body_ = body;
}
void Registry::revoke_tokens() {
  const std::lock_guard lock(mutex_);
  token_ += "x";
}
void Registry::refuse_tokens(bool on) {
  const std::lock_guard lock(mutex_);
  refuses_tokens_ = on;
}
void Registry::set_digest_header(DigestHeader mode) {
  const std::lock_guard lock(mutex_);
  digest_header_ = mode;
}

void Registry::fail(const std::string& path, const RegistryFault& fault, std::size_t count) {
  const std::lock_guard lock(mutex_);
  faults_[path].insert(faults_[path].end(), count, fault);
}

std::vector<net::Request> Registry::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t Registry::count(std::string_view path_prefix) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      requests_, [&](const net::Request& request) { return request.path.starts_with(path_prefix); }));
}

net::Response Registry::answer(const net::Request& request) {
  if (request.method == "POST" && request.path == "/_test/image") {
    const auto body = json::parse(request.body);
    if (!body || !body->is_object()) return problem(400, "BAD");
    const auto text = [&](std::string_view name) {
      return std::string(jose::text_member(body->get_object(), name).value_or(""));
    };
    return {.body = put_image(text("path"), text("tag"), text("content"))};
  }
  const std::lock_guard lock(mutex_);
  requests_.push_back(request);
  if (request.path == "/token") return token(request);
  return request.path.starts_with("/v2/") ? manifest(request) : problem(404, "NOT_FOUND");
}

std::optional<RegistryFault> Registry::next_fault(const std::string& path) {
  const auto found = faults_.find(path);
  if (found == faults_.end() || found->second.empty()) return std::nullopt;
  RegistryFault fault = found->second.front();
  found->second.pop_front();
  return fault;
}

std::optional<net::Response> Registry::refusal(const net::Request& request) const {
  const std::string given(request.header("authorization").value_or(""));
  if (wants_basic_ && given != basic(username_, password_)) {
    net::Response response = problem(401, "UNAUTHORIZED");
    response.headers.push_back({"WWW-Authenticate", R"(Basic realm="registry")"});
    return response;
  }
  if (wants_token_ && (refuses_tokens_ || given != "Bearer " + token_)) {
    net::Response response = problem(401, "UNAUTHORIZED");
    const std::string realm =
        realm_.empty() ? fmt::format("http://{}/token", request.header("host").value_or("registry.test")) : realm_;
    response.headers.push_back(
        {"WWW-Authenticate", fmt::format(R"(Bearer realm="{}",service="the \"registry\"",scope="ignored")", realm)});
    return response;
  }
  return std::nullopt;
}

net::Response Registry::manifest(const net::Request& request) {
  const std::string rest = request.path.substr(4);
  const std::size_t at = rest.rfind("/manifests/");
  if (at == std::string::npos) return problem(404, "NOT_FOUND");
  const std::string path = rest.substr(0, at);
  std::string reference = rest.substr(at + 11);
  const auto fault = next_fault(path);
  if (fault && !fault->truncated) {
    net::Response response = problem(fault->status, "FAULT");
    if (!fault->location.empty()) response.headers.push_back({"Location", fault->location});
    response.drop = fault->drop;
    return response;
  }
  if (auto refused = refusal(request)) return std::move(*refused);
  if (const auto tag = tags_.find(path + ':' + reference); tag != tags_.end()) reference = tag->second;
  const auto found = blobs_.find(path + '@' + reference);
  if (found == blobs_.end()) return problem(404, "MANIFEST_UNKNOWN");
  net::Response response{.headers = {{"Content-Type", found->second.media_type}}, .body = found->second.body};
  if (fault) response.body.resize(response.body.size() / 2);
  if (digest_header_ == DigestHeader::right) response.headers.push_back({"Docker-Content-Digest", reference});
  if (digest_header_ == DigestHeader::wrong)
    response.headers.push_back({"Docker-Content-Digest", "sha256:" + std::string(64, 'e')});
  return response;
}

net::Response Registry::token(const net::Request& request) {
  if (const auto fault = next_fault("/token")) {
    net::Response response = problem(fault->status, "FAULT");
    if (!fault->location.empty()) response.headers.push_back({"Location", fault->location});
    response.drop = fault->drop;
    return response;
  }
  if (!username_.empty() && request.header("authorization").value_or("") != basic(username_, password_))
    return problem(401, "UNAUTHORIZED");
  return {.headers = {{"Content-Type", "application/json"}},
          .body = token_body_.empty() ? fmt::format(R"({{"token":"{}","expires_in":300}})", token_) : token_body_};
}

}  // namespace ee::standins
