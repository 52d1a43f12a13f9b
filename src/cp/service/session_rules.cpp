#include "cp/service/session_rules.h"

#include <boost/json.hpp>

#include <algorithm>

#include "common/json.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxOrganisations = 100;

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool same_login(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

std::vector<GithubOwner> github_owners(const SessionRow& session) {
  std::vector<GithubOwner> owners;
  if (!session.github_id) return owners;
  owners.push_back({.id = *session.github_id, .login = session.github_login.value_or(""), .kind = IdentityKind::user});
  const auto organisations = json::parse(session.github_orgs.value_or("[]"));
  if (!organisations || !organisations->is_array()) return owners;
  for (const auto& item : organisations->get_array()) {
    if (owners.size() > kMaxOrganisations || !item.is_object()) break;
    const auto& organisation = item.get_object();
    const auto* id = organisation.if_contains("id");
    if (id == nullptr || !id->is_int64() || id->get_int64() <= 0) continue;
    owners.push_back({.id = id->get_int64(),
                      .login = text_of(organisation, "login"),
                      .kind = IdentityKind::org,
                      .role = text_of(organisation, "role")});
  }
  return owners;
}

bool stands_for(const GithubOwner& owner) { return owner.kind == IdentityKind::user || owner.role == "admin"; }

SessionRole session_role(const SessionRow& session, const AuthSettings& settings) {
  if (session.auth_method == AuthMethod::password) return SessionRole::admin;
  if (session.github_id &&
      std::ranges::find(settings.admin_github_ids, *session.github_id) != settings.admin_github_ids.end())
    return SessionRole::admin;
  const auto is_theirs = [&](const std::string& login) { return same_login(login, *session.github_login); };
  if (session.github_login && std::ranges::any_of(settings.admin_github_logins, is_theirs)) return SessionRole::admin;
  return SessionRole::user;
}

UtcTime idle_expiry(const SessionRow& session, const AuthSettings& settings) {
  const bool is_admin = session_role(session, settings) == SessionRole::admin;
  const Seconds idle = is_admin ? settings.session_idle : settings.user_session_idle;
  return std::min(session.last_used_at + idle, session.expires_at);
}

bool is_over(const SessionRow& session, const AuthSettings& settings, UtcTime now) {
  return session.revoked_at.has_value() || now >= idle_expiry(session, settings);
}

}  // namespace ee::cp
