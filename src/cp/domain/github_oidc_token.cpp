#include "cp/domain/github_oidc_token.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <optional>

#include "common/json.h"
#include "common/require.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxTokenBytes = 8192;
constexpr std::size_t kMaxMembers = 64;
constexpr std::size_t kMaxKidBytes = 128;
constexpr std::size_t kMaxClaimBytes = 512;
constexpr std::size_t kMaxIdDigits = 19;
constexpr std::int64_t kMaxSeconds = 253402300799;  // 9999-12-31, so that sums cannot overflow

/// Events that a stranger can cause in a repository that is not theirs.
constexpr std::array<std::string_view, 4> kStrangersEvents = {"pull_request", "pull_request_target", "issue_comment",
                                                              "workflow_run"};

using boost::json::object;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool equal_ignoring_case(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }

std::optional<std::string> text_claim(const object& claims, std::string_view name) {
  const auto text = jose::text_member(claims, name);
  if (!text || text->empty() || text->size() > kMaxClaimBytes) return std::nullopt;
  return std::string(*text);
}

/// A decimal id as GitHub writes it; nothing when it is none, or too large for one.
std::optional<std::int64_t> id_of(std::string_view text) {
  if (text.empty() || text.size() > kMaxIdDigits) return std::nullopt;
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id <= 0) return std::nullopt;
  return id;
}

bool is_for(const object& claims, std::string_view audience) {
  const auto* const aud = claims.if_contains("aud");
  if (aud == nullptr || audience.empty()) return false;
  if (aud->is_string()) return std::string_view(aud->get_string()) == audience;
  if (!aud->is_array()) return false;
  const boost::json::array& list = aud->get_array();
  return list.size() == 1 && list[0].is_string() && std::string_view(list[0].get_string()) == audience;
}

std::optional<UtcTime> time_claim(const object& claims, std::string_view name) {
  const auto seconds = jose::integer_member(claims, name);
  if (!seconds || *seconds < 0 || *seconds > kMaxSeconds) return std::nullopt;
  return from_unix_ms(*seconds * 1000);
}

std::expected<UtcTime, OidcRefusal> judge_times(const object& claims, const OidcTokenRules& rules, UtcTime now) {
  const auto expires = time_claim(claims, "exp");
  const auto issued = time_claim(claims, "iat");
  const auto not_before = time_claim(claims, "nbf");
  if (!expires || !issued || !not_before) return std::unexpected(OidcRefusal::bad_times);
  if (now >= *expires + rules.leeway) return std::unexpected(OidcRefusal::expired);
  if (*not_before > now + rules.leeway || *issued > now + rules.leeway)
    return std::unexpected(OidcRefusal::not_yet_valid);
  const auto lifetime = *expires - *issued;
  if (lifetime <= Milliseconds(0) || lifetime > rules.max_lifetime) return std::unexpected(OidcRefusal::bad_times);
  return *expires;
}

/// `owner/name`, the owner being this one.
bool is_repository_of(std::string_view repository, std::string_view owner) {
  const std::size_t slash = repository.find('/');
  return slash != std::string_view::npos && slash + 1 < repository.size() &&
         repository.find('/', slash + 1) == std::string_view::npos &&
         equal_ignoring_case(repository.substr(0, slash), owner);
}

std::optional<OidcClaims> named_claims(const object& claims) {
  OidcClaims out;
  for (const auto& [name, to] :
       std::initializer_list<std::pair<std::string_view, std::string*>>{{"sub", &out.subject},
                                                                        {"jti", &out.token_id},
                                                                        {"repository", &out.repository},
                                                                        {"repository_id", &out.repository_id},
                                                                        {"repository_owner", &out.repository_owner},
                                                                        {"ref", &out.ref},
                                                                        {"event_name", &out.event_name},
                                                                        {"run_id", &out.run_id}}) {
    auto text = text_claim(claims, name);
    if (!text) return std::nullopt;
    *to = std::move(*text);
  }
  const auto owner_id = id_of(text_claim(claims, "repository_owner_id").value_or(""));
  if (!owner_id || !id_of(out.repository_id) || !is_repository_of(out.repository, out.repository_owner))
    return std::nullopt;
  out.repository_owner_id = *owner_id;
  out.sha = text_claim(claims, "sha");
  out.job_workflow_ref = text_claim(claims, "job_workflow_ref");
  out.actor = text_claim(claims, "actor");
  out.environment = text_claim(claims, "environment");
  return out;
}

bool is_strangers_event(std::string_view event) {
  return std::ranges::find(kStrangersEvents, event) != kStrangersEvents.end();
}

bool fits_events(const std::optional<std::string>& events, std::string_view event) {
  if (!events) return !is_strangers_event(event);
  const auto listed = json::parse(*events, {.max_bytes = 16384, .max_depth = 2});
  if (!listed || !listed->is_array()) return false;
  return std::ranges::any_of(listed->get_array(), [&](const boost::json::value& item) {
    return item.is_string() && std::string_view(item.get_string()) == event;
  });
}

bool fits_rule(const OidcRuleRow& rule, const OidcClaims& claims) {
  if (rule.repository && !equal_ignoring_case(*rule.repository, claims.repository)) return false;
  if (rule.repository_id && *rule.repository_id != claims.repository_id) return false;
  if (rule.ref_glob && !fits_glob(*rule.ref_glob, claims.ref)) return false;
  if (rule.environment && rule.environment != claims.environment) return false;
  if (rule.workflow) {
    if (!claims.job_workflow_ref) return false;
    const std::string_view whole = *claims.job_workflow_ref;
    if (whole.substr(0, whole.find('@')) != *rule.workflow) return false;
  }
  return fits_events(rule.events, claims.event_name);
}

}  // namespace

std::expected<jose::UnverifiedToken, OidcRefusal> parse_oidc_token(std::string_view text) {
  static const jose::TokenRules rules{.algorithms = {jose::Algorithm::rs256},
                                      .types = {"JWT"},
                                      .max_bytes = kMaxTokenBytes,
                                      .max_members = kMaxMembers,
                                      .claims_are_json = true};
  auto token = jose::UnverifiedToken::parse(text, rules);
  if (!token) {
    switch (token.error()) {
      case jose::Refusal::header_refused: return std::unexpected(OidcRefusal::header_refused);
      case jose::Refusal::algorithm_refused: return std::unexpected(OidcRefusal::alg_refused);
      case jose::Refusal::malformed:
      case jose::Refusal::key_unknown:
      case jose::Refusal::key_unusable:
      case jose::Refusal::signature_invalid: return std::unexpected(OidcRefusal::malformed);
    }
  }
  for (const char* const name : {"jku", "jwk", "x5u"})
    if (token->header().contains(name)) return std::unexpected(OidcRefusal::header_refused);
  if (token->kid().empty() || token->kid().size() > kMaxKidBytes) return std::unexpected(OidcRefusal::header_refused);
  return std::move(*token);
}

std::expected<JudgedClaims, OidcRefusal> judge_oidc_claims(const object& claims, const OidcTokenRules& rules,
                                                           UtcTime now) {
  if (jose::text_member(claims, "iss") != rules.issuer) return std::unexpected(OidcRefusal::bad_issuer);
  if (!is_for(claims, rules.audience)) return std::unexpected(OidcRefusal::bad_audience);
  const auto expires_at = judge_times(claims, rules, now);
  if (!expires_at) return std::unexpected(expires_at.error());
  auto named = named_claims(claims);
  if (!named) return std::unexpected(OidcRefusal::claim_missing);
  return JudgedClaims{.claims = std::move(*named), .expires_at = *expires_at};
}

bool fits_glob(std::string_view glob, std::string_view text) {
  // One row of the table "does the glob so far fit the first i characters", replaced for each sign of the glob.
  std::vector<bool> fits(text.size() + 1, false);
  fits[0] = true;
  while (!glob.empty()) {
    if (glob[0] == '*') {
      const bool any = glob.starts_with("**");
      glob.remove_prefix(any ? 2 : 1);
      for (std::size_t i = 1; i <= text.size(); ++i) fits[i] = fits[i] || (fits[i - 1] && (any || text[i - 1] != '/'));
      continue;
    }
    for (std::size_t i = text.size(); i > 0; --i) fits[i] = fits[i - 1] && text[i - 1] == glob[0];
    fits[0] = false;
    glob.remove_prefix(1);
  }
  return fits[text.size()];
}

bool allows_workflow(OidcPolicy policy, const std::vector<OidcRuleRow>& rules, const OidcClaims& claims) {
  switch (policy) {
    case OidcPolicy::owner: return !is_strangers_event(claims.event_name);
    case OidcPolicy::rules:
      return std::ranges::any_of(rules, [&](const OidcRuleRow& rule) { return fits_rule(rule, claims); });
    case OidcPolicy::off: break;
  }
  require(false);
  return false;
}

}  // namespace ee::cp
