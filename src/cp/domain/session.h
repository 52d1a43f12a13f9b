#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/id.h"
#include "common/time.h"

namespace ee::cp {

/// How somebody signed in.
enum class AuthMethod : std::uint8_t { password, github_oauth };
BOOST_DESCRIBE_ENUM(AuthMethod, password, github_oauth)

enum class SessionRole : std::uint8_t { admin, user };
BOOST_DESCRIBE_ENUM(SessionRole, admin, user)

/// A row of `admin_sessions`.
struct SessionRow {
  SessionId id = {};
  std::string lookup = {};       ///< public part of the token
  std::string secret_hash = {};  ///< Argon2id PHC string of the whole token
  AuthMethod auth_method = AuthMethod::password;
  std::string identity = {};  ///< `password` or `github:<id>`: whose sessions are counted and ended together
  std::optional<std::int64_t> github_id = {};
  std::optional<std::string> github_login = {};
  std::optional<std::string> github_orgs = {};  ///< JSON `[{"id","login","role"}]`, at most 100
  std::optional<std::string> avatar_url = {};
  std::string ip = {};
  std::string user_agent = {};  ///< at most 200 bytes
  UtcTime created_at = {};
  UtcTime expires_at = {};
  UtcTime last_used_at = {};
  std::optional<UtcTime> revoked_at = {};
  std::optional<std::string> revoked_reason = {};
};
BOOST_DESCRIBE_STRUCT(SessionRow, (),
                      (id, lookup, secret_hash, auth_method, identity, github_id, github_login, github_orgs, avatar_url,
                       ip, user_agent, created_at, expires_at, last_used_at, revoked_at, revoked_reason))

}  // namespace ee::cp
