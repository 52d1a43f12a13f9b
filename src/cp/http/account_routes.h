#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/account_identities.h"
#include "cp/service/accounts.h"
#include "cp/service/api_keys.h"

namespace ee::cp {

/// Accounts, their keys, GitHub identities and workflow rules.
struct AccountRoutes {
  Accounts& accounts;
  ApiKeys& keys;
  AccountIdentities& identities;
  const CursorCodec& cursors;
};

void add_account_routes(std::vector<Route>& table, AccountRoutes& context);
void add_api_key_routes(std::vector<Route>& table, AccountRoutes& context);
void add_identity_routes(std::vector<Route>& table, AccountRoutes& context);

/// The call of a request: who, the audit's facts, `{account_id}`, and the `Idempotency-Key` if one was sent. Errors:
/// invalid_idempotency_key.
Result<AccountCall> account_call(const Call& call);
/// The answer of an idempotent POST; with `sensitive`, one that may hold a secret.
net::Response idempotent_answer(const Result<IdempotentAnswer>& answer, std::string_view request_id, bool sensitive);

struct AccountRequest {
  std::string name;
  std::optional<std::string> description;
  std::string account_type;
  std::optional<std::string> contact_email;
  std::optional<std::string> key_name;
};
BOOST_DESCRIBE_STRUCT(AccountRequest, (), (name, description, account_type, contact_email, key_name))
constexpr std::string_view json_name(json::For<AccountRequest> /*type*/) { return "AccountRequest"; }

struct AccountChanges {
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::optional<std::optional<std::string>> contact_email;
  std::optional<std::optional<UsdMicros>> spend_limit;
  std::optional<SpendLimitAction> spend_limit_action;
  std::optional<OidcPolicy> oidc_policy;
  std::optional<std::optional<std::string>> status_reason;
  std::optional<std::optional<std::string>> operator_account_id;
};
BOOST_DESCRIBE_STRUCT(AccountChanges, (),
                      (name, description, contact_email, spend_limit, spend_limit_action, oidc_policy, status_reason,
                       operator_account_id))
constexpr std::string_view json_name(json::For<AccountChanges> /*type*/) { return "AccountChanges"; }

struct SuspendRequest {
  std::string reason;
  std::optional<bool> stop_deployments;
};
BOOST_DESCRIBE_STRUCT(SuspendRequest, (), (reason, stop_deployments))
constexpr std::string_view json_name(json::For<SuspendRequest> /*type*/) { return "AccountSuspend"; }

struct ResumeRequest {
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(ResumeRequest, (), (reason))
constexpr std::string_view json_name(json::For<ResumeRequest> /*type*/) { return "AccountResume"; }

struct AccountPage {
  std::vector<AccountObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AccountPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AccountPage> /*type*/) { return "AccountPage"; }

struct ApiKeyRequest {
  std::string name;
  std::optional<std::vector<std::string>> scopes;
  std::optional<std::optional<std::int64_t>> expires_in_seconds;
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(ApiKeyRequest, (), (name, scopes, expires_in_seconds, reason))
constexpr auto json_rules(json::For<ApiKeyRequest> /*type*/) { return std::array{json::field("scopes").items(0, 20)}; }
constexpr std::string_view json_name(json::For<ApiKeyRequest> /*type*/) { return "ApiKeyRequest"; }

struct RotateRequest {
  std::optional<std::int64_t> overlap_seconds;
};
BOOST_DESCRIBE_STRUCT(RotateRequest, (), (overlap_seconds))
constexpr std::string_view json_name(json::For<RotateRequest> /*type*/) { return "ApiKeyRotate"; }

struct ApiKeyPage {
  std::vector<ApiKeyView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ApiKeyPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<ApiKeyPage> /*type*/) { return "ApiKeyPage"; }

struct IdentityRequest {
  std::int64_t github_id = 0;
  std::optional<IdentityKind> kind;
  std::optional<std::string> login;
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(IdentityRequest, (), (github_id, kind, login, reason))
constexpr std::string_view json_name(json::For<IdentityRequest> /*type*/) { return "IdentityRequest"; }

struct IdentityPage {
  std::vector<IdentityView> items;
  std::optional<std::string> next_cursor;  ///< always null: at most 20
};
BOOST_DESCRIBE_STRUCT(IdentityPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<IdentityPage> /*type*/) { return "IdentityPage"; }

}  // namespace ee::cp
