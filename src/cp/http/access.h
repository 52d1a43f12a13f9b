#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/error.h"
#include "cp/domain/principal.h"

namespace ee::cp {

/// Who may call a route. No default: a route without a rule does not compile. What each value means for each kind of
/// caller is a row of `kAccessTable`.
enum class Access : std::uint8_t {
  open,            ///< everybody; credentials are not looked at
  optional,        ///< everybody; who sends a credential is known by it, and a bad one is refused
  signup,          ///< nobody known, people signed in, administrators: who may make an account by the mode
  signed_in,       ///< any principal but anonymous
  session,         ///< an admin or user session
  admin,           ///< an admin session
  admin_or_owner,  ///< an admin session, or what `owner` means
  owner,           ///< whoever acts for accounts; the handler looks only at what is theirs
  owner_not_oidc,  ///< `owner` without GitHub workflows
  own_account,     ///< the key of `{account_id}` with the route's scope, a user session linked to it, an admin session
  own_account_only,      ///< the same without administrators
  launcher,              ///< a key of a launcher account
  own_agent,             ///< the agent credential of `{agent_id}`
  agent_admin_or_owner,  ///< the agent credential of `{agent_id}`, or what `admin_or_owner` means
};

/// What a kind of caller may do on a route of some access rule.
enum class Grant : std::uint8_t {
  no,
  yes,
  scoped,  ///< with the route's scope: the key's own, or that a linked account's type has
  own,     ///< `scoped`, and `{account_id}` is theirs; agents: `{agent_id}` is theirs
};

/// A row of the authorisation matrix (04 section 4). The columns are the matrix's: P public, K account key, A admin
/// session, U user session, G agent credential, O GitHub OIDC.
struct AccessRow {
  Access access;
  Grant anonymous;
  Grant key;
  Grant admin;
  Grant user;
  Grant agent;
  Grant oidc;
};

/// The one table that the router judges by, in the order of `Access`.
inline constexpr std::array kAccessTable = {
    //        rule                       P           K              A           U              G           O
    AccessRow{Access::open, Grant::yes, Grant::yes, Grant::yes, Grant::yes, Grant::yes, Grant::yes},
    AccessRow{Access::optional, Grant::yes, Grant::yes, Grant::yes, Grant::yes, Grant::yes, Grant::yes},
    AccessRow{Access::signup, Grant::yes, Grant::no, Grant::yes, Grant::yes, Grant::no, Grant::no},
    AccessRow{Access::signed_in, Grant::no, Grant::yes, Grant::yes, Grant::yes, Grant::yes, Grant::yes},
    AccessRow{Access::session, Grant::no, Grant::no, Grant::yes, Grant::yes, Grant::no, Grant::no},
    AccessRow{Access::admin, Grant::no, Grant::no, Grant::yes, Grant::no, Grant::no, Grant::no},
    AccessRow{Access::admin_or_owner, Grant::no, Grant::scoped, Grant::yes, Grant::yes, Grant::no, Grant::yes},
    AccessRow{Access::owner, Grant::no, Grant::scoped, Grant::yes, Grant::yes, Grant::no, Grant::yes},
    AccessRow{Access::owner_not_oidc, Grant::no, Grant::scoped, Grant::yes, Grant::yes, Grant::no, Grant::no},
    AccessRow{Access::own_account, Grant::no, Grant::own, Grant::yes, Grant::own, Grant::no, Grant::no},
    AccessRow{Access::own_account_only, Grant::no, Grant::own, Grant::own, Grant::own, Grant::no, Grant::no},
    AccessRow{Access::launcher, Grant::no, Grant::scoped, Grant::no, Grant::no, Grant::no, Grant::no},
    AccessRow{Access::own_agent, Grant::no, Grant::no, Grant::no, Grant::no, Grant::own, Grant::no},
    AccessRow{Access::agent_admin_or_owner, Grant::no, Grant::scoped, Grant::yes, Grant::yes, Grant::own, Grant::yes},
};

/// What the access rule of a route says, with what belongs to it.
struct AccessRule {
  Access access = Access::admin;
  Scope scope = Scope::read;
  bool when_suspended = false;  ///< works for a suspended account
};

/// Path parameters that a rule looks at; empty when the route has none.
struct PathIds {
  std::string_view agent_id = {};
  std::string_view account_id = {};
};

const AccessRow& access_row(Access access);

/// Whether `principal` may use a route. Pure. Errors: unauthenticated, admin_required, account_not_found (another's
/// account), account_type_not_allowed, scope_missing, account_suspended, agent_mismatch.
Result<void> check_access(const AccessRule& rule, const Principal& principal, const PathIds& ids);

/// Why this rule cannot stand at this pattern; empty when it can. Asked for every route at the start: an `own` without
/// the path parameter that says whose would let nobody in, or everybody.
std::string access_problem(const AccessRule& rule, std::string_view pattern);

}  // namespace ee::cp
