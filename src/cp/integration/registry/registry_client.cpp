#include "cp/integration/registry/registry_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "common/crypto.h"
#include "common/jose.h"
#include "common/json.h"
#include "common/outside_calls.h"
#include "common/require.h"
#include "common/url.h"
#include "cp/integration/registry/auth_challenge.h"

namespace ee::cp::registry {
namespace {

constexpr Milliseconds kOneTryTimeout{15'000};
constexpr std::size_t kMaxTokenChars = 16UL * 1024;
constexpr std::int64_t kTokenSecondsDefault = 60;
constexpr std::int64_t kTokenSecondsMax = 3600;
constexpr Seconds kTokenMargin{30};

struct RetryDelay {
  std::int64_t least_ms;
  std::int64_t most_ms;
};
constexpr std::array<RetryDelay, RegistryClient::kTries - 1> kRetryDelays = {{{100, 300}, {300, 900}}};

std::unexpected<Error> unavailable(std::string_view detail) {
  return fail(ErrorCode::registry_unavailable, fmt::format("the registry does not answer: {}", detail));
}
std::unexpected<Error> auth_failed(std::string detail) {
  return fail(ErrorCode::registry_auth_failed, std::move(detail));
}

bool names(const std::vector<std::string>& hosts, std::string_view host) {
  const std::string_view without_port = host.substr(0, host.rfind(':'));
  return std::ranges::any_of(hosts, [&](const std::string& one) { return one == host || one == without_port; });
}
bool names(const std::vector<std::string>& hosts, const Url& url) {
  return std::ranges::any_of(hosts, [&](const std::string& one) {
    return one == url.host || one == fmt::format("{}:{}", url.host, url.port);
  });
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}
bool may_be_mended(int status) { return status == 408 || status == 429 || status >= 500; }

std::string digest_of(std::string_view body) { return "sha256:" + to_hex(sha256(bytes_of(body))); }

bool is_printable(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

/// Where a `Location` of an answer from `from` leads: an absolute URL, or a path at the same origin.
std::string redirect_target(const Url& from, std::string_view location) {
  return location.starts_with('/') && !location.starts_with("//") ? from.origin() + std::string(location)
                                                                  : std::string(location);
}

}  // namespace

/// What one resolution carries along.
struct RegistryClient::Task {
  const RegistryConfig& config;
  const ImageRef& image;
  const Credential* credential;
  SteadyTime deadline;
  const std::stop_token& stop;
  std::string authorization = {};  ///< of the registry, once it asked for one
  bool asked_for_authorization = false;

  std::string token_key() const {
    return image.host + ' ' + image.path + ' ' + (credential == nullptr ? "" : credential->username);
  }
};

Result<ResolvedImage> RegistryClient::resolve(const RegistryConfig& config, const ImageRef& image,
                                              const AccountId& account, const std::stop_token& stop) {
  require(outside_calls_allowed());
  if (!config.allowed_hosts.empty() && !names(config.allowed_hosts, image.host))
    return fail(ErrorCode::registry_host_refused, "the registry is not in the list of allowed ones");
  Task task{.config = config,
            .image = image,
            .credential = config.credential_for(image.host, account),
            .deadline = clock_.steady_now() + kTotalTimeout,
            .stop = stop};
  if (const auto known = cached_token(task.token_key())) task.authorization = *known;

  const std::string wanted = image.digest.value_or(image.tag);
  auto fetched = fetch(task, wanted);
  if (!fetched) return std::unexpected(std::move(fetched.error()));
  auto manifest = read_manifest(fetched->content_type, fetched->body);
  if (!manifest) return std::unexpected(std::move(manifest.error()));
  ResolvedImage out{.reference = image.repository() + (image.tag.empty() ? "" : ":" + image.tag) +
                                 (image.digest ? "@" + *image.digest : ""),
                    .host = image.host,
                    .path = image.path,
                    .tag = image.tag};
  if (manifest->child) {
    out.index_digest = fetched->digest;
    fetched = fetch(task, *manifest->child);
    if (!fetched) return std::unexpected(std::move(fetched.error()));
    manifest = read_manifest(fetched->content_type, fetched->body);
    if (!manifest) return std::unexpected(std::move(manifest.error()));
    if (manifest->child) return fail(ErrorCode::manifest_unsupported, "an index inside an index");
  }
  out.manifest_digest = fetched->digest;
  out.media_type = manifest->media_type;
  out.size = static_cast<std::int64_t>(fetched->body.size());
  out.pinned = image.pinned_to(out.manifest_digest);
  return out;
}

/// The manifest with this tag or digest. What has a digest must have these bytes.
Result<RegistryClient::Fetched> RegistryClient::fetch(Task& task, const std::string& reference) {
  const std::string api_host(task.image.api_host());
  const bool insecure = names(task.config.insecure_hosts, task.image.host);
  const std::string url =
      fmt::format("{}://{}/v2/{}/manifests/{}", insecure ? "http" : "https", api_host, task.image.path, reference);
  auto answer = get(task, url, task.authorization, kMaxManifestBytes);
  if (answer && answer->status == 401 && !std::exchange(task.asked_for_authorization, true)) {
    // A token of an earlier look may have been taken back: it costs the one round of authorisation.
    auto authorization = authorize(task, *answer);
    if (!authorization) return std::unexpected(std::move(authorization.error()));
    task.authorization = std::move(*authorization);
    answer = get(task, url, task.authorization, kMaxManifestBytes);
  }
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status == 404) return fail(ErrorCode::image_not_found, "the registry does not know the image");
  if (answer->status == 401 || answer->status == 403) return auth_failed("the registry refuses to give the image");
  if (answer->status != 200) return unavailable(fmt::format("status {}", answer->status));
  Fetched out{.digest = digest_of(answer->body),
              .content_type = std::string(answer->header("content-type").value_or("")),
              .body = std::move(answer->body)};
  if (is_image_digest(reference) && out.digest != reference)
    return fail(ErrorCode::digest_mismatch, "the manifest does not have the digest that it was asked for by");
  if (const auto stated = answer->header("docker-content-digest"); stated && *stated != out.digest)
    return fail(ErrorCode::digest_mismatch, "the registry states another digest than its answer has");
  return out;
}

/// One GET with its redirects, tried again where that can help.
Result<HttpClientResponse> RegistryClient::get(const Task& task, const std::string& url,
                                               const std::string& authorization, std::size_t max_bytes) {
  for (std::size_t attempt = 0;; ++attempt) {
    bool may_pass = false;
    auto answer = get_once(task, url, authorization, max_bytes, may_pass);
    if (!may_pass || attempt == kRetryDelays.size()) return answer;
    const Milliseconds delay(random_.between(kRetryDelays[attempt].least_ms, kRetryDelays[attempt].most_ms));
    if (clock_.steady_now() + delay >= task.deadline || !clock_.sleep_for(delay, task.stop)) return answer;
  }
}

Result<HttpClientResponse> RegistryClient::get_once(const Task& task, std::string url, std::string authorization,
                                                    std::size_t max_bytes, bool& may_pass) {
  for (int redirects = 0;; ++redirects) {
    const auto target = parse_url(url);
    if (!target || target->has_user || target->has_fragment)
      return fail(ErrorCode::registry_host_refused, "not a URL that may be called");
    if (target->scheme != "https" && !names(task.config.insecure_hosts, *target))
      return fail(ErrorCode::registry_host_refused, "a registry must be asked over https");
    const auto left = std::chrono::duration_cast<Milliseconds>(task.deadline - clock_.steady_now());
    if (left <= Milliseconds(0)) return unavailable("no time left");
    HttpClientRequest request{.url = url,
                              .headers = {{"Accept", std::string(kAcceptedManifests)}},
                              .connect_timeout = std::min(kConnectTimeout, left),
                              .total_timeout = std::min(kOneTryTimeout, left),
                              .max_response_bytes = max_bytes,
                              .addresses = names(task.config.allowed_private_hosts, *target)
                                               ? AddressPolicy::any
                                               : AddressPolicy::public_only,
                              .stop = task.stop};
    if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
    auto answer = http_.send(request);
    if (!answer) {
      switch (answer.error()) {
        case HttpFailure::address_refused:
          return fail(ErrorCode::registry_host_refused, "the host's address is not a public one");
        case HttpFailure::answer_too_large:
          return fail(ErrorCode::manifest_unsupported, "the registry's answer is too long");
        default: break;
      }
      may_pass = answer.error() != HttpFailure::cancelled && answer.error() != HttpFailure::bad_url;
      return unavailable(to_string(answer.error()));
    }
    if (may_be_mended(answer->status)) {
      may_pass = true;
      return unavailable(fmt::format("status {}", answer->status));
    }
    if (!is_redirect(answer->status)) return std::move(*answer);
    if (redirects == kMaxRedirects) return fail(ErrorCode::registry_host_refused, "too many redirects");
    url = redirect_target(*target, answer->header("location").value_or(""));
    const auto next = parse_url(url);
    if (!next || next->origin() != target->origin()) authorization.clear();
  }
}

/// What to send with the next try, from the challenge of an answer 401.
Result<std::string> RegistryClient::authorize(const Task& task, const HttpClientResponse& refused) {
  for (const HttpHeader& header : refused.headers) {
    if (!std::ranges::equal(header.name, std::string_view("www-authenticate"), {},
                            [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }))
      continue;
    const auto challenges = parse_challenges(header.value);
    if (!challenges) return auth_failed("the registry's challenge cannot be read");
    for (const AuthChallenge& challenge : *challenges) {
      if (challenge.scheme == "bearer") {
        const auto realm = challenge.parameter("realm");
        if (!realm) return auth_failed("the registry names no token service");
        return token(task, *realm, challenge.parameter("service"));
      }
      if (challenge.scheme == "basic") {
        if (task.credential == nullptr) return auth_failed("the registry wants a name and a password");
        if (names(task.config.insecure_hosts, task.image.host))
          return auth_failed("a password is not sent without TLS");
        return "Basic " + to_base64(bytes_of(task.credential->username + ':' + task.credential->password.reveal()));
      }
    }
  }
  return auth_failed("the registry names no way to authorise that is known here");
}

Result<std::string> RegistryClient::token(const Task& task, const std::string& realm,
                                          const std::optional<std::string>& service) {
  const auto url = parse_url(realm);
  if (!url || url->has_fragment) return fail(ErrorCode::registry_host_refused, "the token service is no URL");
  std::string query = realm + (url->has_query ? "&" : "?");
  if (service) query += "service=" + percent_encode(*service) + "&";
  query += "scope=" + percent_encode("repository:" + task.image.path + ":pull");
  std::string basic;
  if (task.credential != nullptr && url->scheme == "https")
    basic = "Basic " + to_base64(bytes_of(task.credential->username + ':' + task.credential->password.reveal()));
  auto answer = get(task, query, basic, kMaxTokenBytes);
  wipe(basic);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != 200) return auth_failed(fmt::format("the token service answers {}", answer->status));
  const auto body = json::parse(answer->body, {.max_bytes = kMaxTokenBytes});
  if (!body || !body->is_object()) return auth_failed("the token service's answer is not JSON");
  auto value = jose::text_member(body->get_object(), "token");
  if (!value) value = jose::text_member(body->get_object(), "access_token");
  if (!value || value->size() > kMaxTokenChars || !is_printable(*value)) return auth_failed("no token came");
  const std::int64_t seconds = std::clamp<std::int64_t>(
      jose::integer_member(body->get_object(), "expires_in").value_or(kTokenSecondsDefault), 0, kTokenSecondsMax);
  std::string authorization = "Bearer " + std::string(*value);
  if (Seconds(seconds) > kTokenMargin)
    cache_token(task.token_key(),
                {.value = authorization, .expires_at = clock_.steady_now() + Seconds(seconds) - kTokenMargin});
  return authorization;
}

std::optional<std::string> RegistryClient::cached_token(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = tokens_.find(key);
  if (found == tokens_.end()) return std::nullopt;
  if (found->second.expires_at > clock_.steady_now()) return found->second.value;
  tokens_.erase(found);
  return std::nullopt;
}

void RegistryClient::cache_token(const std::string& key, Token token) {
  const std::lock_guard lock(mutex_);
  if (tokens_.size() >= kMaxCachedTokens) {
    const SteadyTime now = clock_.steady_now();
    std::erase_if(tokens_, [&](const auto& entry) { return entry.second.expires_at <= now; });
    if (tokens_.size() >= kMaxCachedTokens) tokens_.clear();
  }
  tokens_.insert_or_assign(key, std::move(token));
}

}  // namespace ee::cp::registry
