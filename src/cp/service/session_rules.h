#pragma once
#include <vector>

#include "cp/domain/principal.h"
#include "cp/domain/session.h"
#include "cp/service/auth_settings.h"

namespace ee::cp {

// What a session is worth now, by the settings in force now: all of it is asked on each request. Pure.

/// The GitHub user of a session, then its organisations. Empty for a password session, or where the row cannot be read.
std::vector<GithubOwner> github_owners(const SessionRow& session);
/// Whether an owner is acted for: the user itself, or an organisation where it is administrator.
bool stands_for(const GithubOwner& owner);

/// Administrators: who signed in by password, or whose GitHub id or login is listed.
SessionRole session_role(const SessionRow& session, const AuthSettings& settings);
/// When it ends if it is not used again: never past its absolute end.
UtcTime idle_expiry(const SessionRow& session, const AuthSettings& settings);
/// Revoked, or its absolute or its idle time is over.
bool is_over(const SessionRow& session, const AuthSettings& settings, UtcTime now);

}  // namespace ee::cp
