#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/secret.h"
#include "common/time.h"

namespace ee::cp {

/// What settings say of sign-in and sessions: `auth.*` (04 section 3.3), and the origin that browsers know us by.
struct AuthSettings {
  bool password_login = false;      ///< auth.password_login_enabled
  Secret admin_password_hash = {};  ///< Argon2id PHC text; empty: no password login
  Seconds session_ttl{86400};
  Seconds session_idle{7200};  ///< of administrators
  Seconds user_session_idle{86400};
  std::vector<std::int64_t> admin_github_ids = {};
  std::vector<std::string> admin_github_logins = {};  ///< compared without case
  std::string public_origin = {};                     ///< `https://cp.example.com`, as in the header `Origin`
  bool github_login = false;                          ///< a GitHub OAuth app is configured
  std::string github_oidc_audience = {};              ///< empty: tokens of GitHub Actions are not taken
  bool secure_cookies = true;                         ///< false only in dev when the public URL is http
};

/// The settings in force now; asked on each request. Thread-safe, must not block for long.
using AuthSettingsSource = std::function<AuthSettings()>;

}  // namespace ee::cp
