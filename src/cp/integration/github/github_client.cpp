#include "cp/integration/github/github_client.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/jose.h"
#include "common/json.h"
#include "common/log.h"
#include "common/outside_calls.h"
#include "common/require.h"
#include "common/url.h"

namespace ee::cp::github {
namespace {

constexpr std::string_view kComponent = "github";
constexpr std::size_t kMaxTokenBytes = 512;
constexpr std::size_t kMaxLoginBytes = 100;
constexpr std::size_t kMaxUrlBytes = 2048;
constexpr std::size_t kMaxLoggedReason = 200;

/// The wait before a repeated GET: 200 and 600 ms, each up to half more or less.
struct RetryDelay {
  std::int64_t least_ms;
  std::int64_t most_ms;
};
constexpr std::array<RetryDelay, 2> kRetryDelays = {{{100, 300}, {300, 900}}};

using boost::json::object;

std::unexpected<Error> unavailable(std::string detail) {
  return fail(ErrorCode::github_unavailable, "GitHub: " + std::move(detail));
}

std::string joined(std::string_view base, std::string_view path) {
  while (base.ends_with('/')) base.remove_suffix(1);
  return std::string(base).append(path);
}

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    if (!out.empty()) out += '&';
    out += std::string(name) + '=' + percent_encode(value);
  }
  return out;
}

std::vector<HttpHeader> headers() {
  return {{"User-Agent", "easyenclave"}, {"Accept", "application/json"}, {"X-GitHub-Api-Version", "2022-11-28"}};
}

/// A text of GitHub's for the log: short, and on one line.
std::string loggable(std::string_view text) {
  std::string out(text.substr(0, kMaxLoggedReason));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return out;
}

Result<boost::json::value> json_of(const std::string& body, std::size_t max_bytes) {
  auto value = json::parse(body, {.max_bytes = max_bytes, .max_depth = 16});
  if (!value) return unavailable("the answer is not JSON");
  return value;
}

bool is_visible(char c) { return c > ' ' && c < '\x7f'; }
bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTokenBytes && std::ranges::all_of(text, is_visible);
}
bool is_login(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLoginBytes && std::ranges::all_of(text, is_visible);
}

/// `read:user,read:org`, or with spaces.
std::vector<std::string> scopes_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty() && out.size() < 64) {
    const std::size_t end = std::min(text.find_first_of(", "), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

Result<AccessToken> token_of(const object& answer) {
  if (const auto error = jose::text_member(answer, "error")) {
    log::warn(kComponent, "a code was not exchanged",
              {{"error", loggable(*error)},
               {"error_description", loggable(jose::text_member(answer, "error_description").value_or(""))}});
    return fail(ErrorCode::github_oauth_rejected, "GitHub refused the code");
  }
  const auto token = jose::text_member(answer, "access_token");
  const std::string_view type = jose::text_member(answer, "token_type").value_or("");
  const auto is_bearer = type.size() == 6 && std::ranges::equal(type, std::string_view("bearer"), {},
                                                                [](char c) { return static_cast<char>(c | 0x20); });
  if (!token || !is_token(*token) || !is_bearer) return unavailable("the answer holds no bearer token");
  return AccessToken{.token = Secret(std::string(*token)),
                     .scopes = scopes_of(jose::text_member(answer, "scope").value_or(""))};
}

std::optional<Membership> membership_of(const boost::json::value& item) {
  const object* const entry = item.if_object();
  if (entry == nullptr) return std::nullopt;
  const boost::json::value* const organization = entry->if_contains("organization");
  if (organization == nullptr || !organization->is_object()) return std::nullopt;
  const auto id = jose::integer_member(organization->get_object(), "id");
  const auto login = jose::text_member(organization->get_object(), "login");
  const auto role = jose::text_member(*entry, "role");
  if (!id || *id <= 0 || !login || !is_login(*login) || !role) return std::nullopt;
  return Membership{.id = *id, .login = std::string(*login), .role = *role == "admin" ? "admin" : "member"};
}

bool may_be_mended(HttpFailure failure) {
  return failure != HttpFailure::bad_url && failure != HttpFailure::answer_too_large &&
         failure != HttpFailure::cancelled;
}
bool may_be_mended(int status) { return status == 408 || status == 429 || status >= 500; }

}  // namespace

std::string authorize_url(const OAuthConfig& config, std::string_view state, std::string_view code_challenge) {
  return joined(config.base_url, "/login/oauth/authorize?") + form({{"client_id", config.client_id},
                                                                    {"redirect_uri", config.redirect_uri},
                                                                    {"scope", "read:user read:org"},
                                                                    {"state", state},
                                                                    {"code_challenge", code_challenge},
                                                                    {"code_challenge_method", "S256"},
                                                                    {"allow_signup", "false"}});
}

bool AccessToken::reads_organizations() const {
  constexpr std::array<std::string_view, 3> kEnough = {"read:org", "write:org", "admin:org"};
  return std::ranges::any_of(
      scopes, [&](const std::string& scope) { return std::ranges::find(kEnough, scope) != kEnough.end(); });
}

Client::Client(HttpClient& http, Clock& clock, Random& random, metrics::Registry& metrics)
    : http_(http),
      clock_(clock),
      random_(random),
      calls_(metrics.counter("ee_github_calls_total", "Calls of GitHub, each with its retries.",
                             {{"call", {"exchange", "user", "memberships"}},
                              {"result", {"ok", "github_oauth_rejected", "github_unavailable"}}})) {}

template <class T>
Result<T> Client::counted(std::string_view call, Result<T> result) const {
  calls_.with({call, result ? "ok" : slug(result.error().code)}).increment();
  return result;
}

Result<AccessToken> Client::exchange(const OAuthConfig& config, std::string_view code, std::string_view code_verifier,
                                     const std::stop_token& stop) const {
  require(outside_calls_allowed());
  HttpClientRequest request{.method = "POST",
                            .url = joined(config.base_url, "/login/oauth/access_token"),
                            .headers = headers(),
                            .body = form({{"client_id", config.client_id},
                                          {"client_secret", config.client_secret.reveal()},
                                          {"code", code},
                                          {"redirect_uri", config.redirect_uri},
                                          {"code_verifier", code_verifier}}),
                            .connect_timeout = kConnectTimeout,
                            .total_timeout = kTotalTimeout,
                            .max_response_bytes = kMaxAnswerBytes,
                            .own_connection = true,  // a code is exchanged once
                            .stop = stop};
  request.headers.push_back({"Content-Type", "application/x-www-form-urlencoded"});
  const auto answer = http_.send(request);
  wipe(request.body);
  if (!answer) return counted<AccessToken>("exchange", unavailable(std::string(to_string(answer.error()))));
  // GitHub answers 200 also to what it refuses.
  if (answer->status >= 500 || answer->status == 429)
    return counted<AccessToken>("exchange", unavailable("status " + std::to_string(answer->status)));
  const auto value = json_of(answer->body, kMaxAnswerBytes);
  if (!value) return counted<AccessToken>("exchange", std::unexpected(value.error()));
  if (!value->is_object()) return counted<AccessToken>("exchange", unavailable("the answer is no object"));
  return counted("exchange", token_of(value->get_object()));
}

Result<User> Client::user(const OAuthConfig& config, const AccessToken& token, const std::stop_token& stop) const {
  const auto read = [&]() -> Result<User> {
    const auto body = get("user", joined(config.api_url, "/user"), token, kMaxAnswerBytes, stop);
    if (!body) return std::unexpected(body.error());
    const auto value = json_of(*body, kMaxAnswerBytes);
    if (!value) return std::unexpected(value.error());
    const object* const user = value->if_object();
    if (user == nullptr) return unavailable("the user is no object");
    const auto id = jose::integer_member(*user, "id");
    const auto login = jose::text_member(*user, "login");
    if (!id || *id <= 0 || !login || !is_login(*login)) return unavailable("the user has no id or login");
    const std::string_view avatar = jose::text_member(*user, "avatar_url").value_or("");
    const bool usable = avatar.size() <= kMaxUrlBytes && avatar.starts_with("https://") && parse_url(avatar);
    return User{.id = *id, .login = std::string(*login), .avatar_url = usable ? std::string(avatar) : ""};
  };
  return counted("user", read());
}

Result<std::vector<Membership>> Client::memberships(const OAuthConfig& config, const AccessToken& token,
                                                    const std::stop_token& stop) const {
  const auto read = [&]() -> Result<std::vector<Membership>> {
    const auto body = get("memberships", joined(config.api_url, "/user/memberships/orgs?state=active&per_page=100"),
                          token, kMaxMembershipBytes, stop);
    if (!body) return std::unexpected(body.error());
    const auto value = json_of(*body, kMaxMembershipBytes);
    if (!value) return std::unexpected(value.error());
    const auto* const items = value->if_array();
    if (items == nullptr || items->size() > kMaxMemberships) return unavailable("the memberships are no list");
    std::vector<Membership> out;
    out.reserve(items->size());
    for (const boost::json::value& item : *items) {
      auto membership = membership_of(item);
      if (!membership) return unavailable("a membership cannot be read");
      if (jose::text_member(item.get_object(), "state").value_or("active") != "active") continue;
      out.push_back(std::move(*membership));
    }
    return out;
  };
  return counted("memberships", read());
}

Result<std::string> Client::get(std::string_view call, std::string url, const AccessToken& token, std::size_t max_bytes,
                                const std::stop_token& stop) const {
  require(outside_calls_allowed());
  HttpClientRequest request{.url = std::move(url),
                            .headers = headers(),
                            .connect_timeout = kConnectTimeout,
                            .total_timeout = kTotalTimeout,
                            .max_response_bytes = max_bytes,
                            .stop = stop};
  request.headers.push_back({"Authorization", "Bearer " + token.token.reveal()});
  for (std::size_t attempt = 0;; ++attempt) {
    auto answer = http_.send(request);
    if (answer && answer->status == 200) return std::move(answer->body);
    if (answer && answer->status == 401) return fail(ErrorCode::github_oauth_rejected, "GitHub refused its own token");
    const std::string what =
        answer ? "status " + std::to_string(answer->status) : std::string(to_string(answer.error()));
    log::warn(kComponent, "a call failed", {{"call", call}, {"result", what}});
    const bool again = answer ? may_be_mended(answer->status) : may_be_mended(answer.error());
    if (!again || attempt == kRetryDelays.size()) return unavailable(what);
    const RetryDelay& delay = kRetryDelays[attempt];
    if (!clock_.sleep_for(Milliseconds(random_.between(delay.least_ms, delay.most_ms)), stop))
      return unavailable("stopped");
  }
}

}  // namespace ee::cp::github
