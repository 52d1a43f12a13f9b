#include "cp/service/session_rules.h"

#include <algorithm>

namespace ee::cp {
namespace {

bool same_login(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

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
