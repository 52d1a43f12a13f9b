#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/account.h"
#include "cp/store/account_store.h"

/// Accounts, keys, identities and workflow rules as the API shows them (04 section 5).
namespace ee::cp {

struct IdentityView {
  IdentityKind kind = IdentityKind::user;
  std::int64_t github_id = 0;
  std::string login = {};
  UtcTime linked_at = {};
};
BOOST_DESCRIBE_STRUCT(IdentityView, (), (kind, github_id, login, linked_at))
constexpr std::string_view json_name(json::For<IdentityView> /*type*/) { return "Identity"; }

struct AccountObject {
  std::string id = {};
  std::string name = {};
  std::string description = {};
  AccountType account_type = AccountType::deployer;
  AccountStatus status = AccountStatus::active;
  std::optional<std::string> status_reason = {};
  std::optional<std::string> contact_email = {};
  std::optional<std::string> operator_account_id = {};  ///< launchers only
  UsdMicros balance = {};
  BillingState billing_state = BillingState::ok;
  UsdMicros credit_limit = {};
  std::optional<UsdMicros> spend_limit = {};
  SpendLimitAction spend_limit_action = SpendLimitAction::block;
  OidcPolicy oidc_policy = OidcPolicy::owner;
  std::vector<IdentityView> identities = {};
  UtcTime created_at = {};
  std::int64_t version = 0;
};
BOOST_DESCRIBE_STRUCT(AccountObject, (),
                      (id, name, description, account_type, status, status_reason, contact_email, operator_account_id,
                       balance, billing_state, credit_limit, spend_limit, spend_limit_action, oidc_policy, identities,
                       created_at, version))
constexpr std::string_view json_name(json::For<AccountObject> /*type*/) { return "Account"; }

/// The account with its balance and identities, as the transaction sees them.
Result<AccountObject> account_object(db::Transaction& tx, const AccountRow& row);
IdentityView identity_view(const IdentityRow& row);

struct ApiKeyView {
  std::string id = {};
  std::string name = {};
  std::string display = {};  ///< `ee_live_<lookup>_...`
  std::vector<std::string> scopes = {};
  UtcTime created_at = {};
  std::string created_by = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> last_used_at = {};
  std::optional<UtcTime> revoked_at = {};
  std::optional<std::string> rotated_from_key_id = {};
};
BOOST_DESCRIBE_STRUCT(ApiKeyView, (),
                      (id, name, display, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
                       rotated_from_key_id))
constexpr std::string_view json_name(json::For<ApiKeyView> /*type*/) { return "ApiKey"; }
ApiKeyView api_key_view(const ApiKeyRow& row);

/// The one answer that has a key in it. Replays have null there, and `secret_shown`.
struct NewKeyAnswer {
  ApiKeyView key = {};
  std::string key_id = {};
  std::optional<std::string> api_key = {};
  bool secret_shown = false;
  std::string warning = {};
};
BOOST_DESCRIBE_STRUCT(NewKeyAnswer, (), (key, key_id, api_key, secret_shown, warning))
constexpr std::string_view json_name(json::For<NewKeyAnswer> /*type*/) { return "NewApiKey"; }

struct NewAccountAnswer {
  AccountObject account = {};
  std::string key_id = {};
  std::optional<std::string> api_key = {};
  bool secret_shown = false;
  std::string warning = {};
};
BOOST_DESCRIBE_STRUCT(NewAccountAnswer, (), (account, key_id, api_key, secret_shown, warning))
constexpr std::string_view json_name(json::For<NewAccountAnswer> /*type*/) { return "NewAccount"; }

inline constexpr std::string_view kKeyWarning = "The key is shown this once; only a hash of it is kept.";

/// One rule, as read and as shown; absent: anything goes.
struct OidcRuleInput {
  std::optional<std::string> repository = {};
  std::optional<std::string> repository_id = {};
  std::optional<std::string> ref_glob = {};
  std::optional<std::string> environment = {};
  std::optional<std::string> workflow = {};
  std::optional<std::vector<std::string>> events = {};
};
BOOST_DESCRIBE_STRUCT(OidcRuleInput, (), (repository, repository_id, ref_glob, environment, workflow, events))
constexpr std::string_view json_name(json::For<OidcRuleInput> /*type*/) { return "OidcRule"; }

struct OidcRules {
  std::string policy = {};
  std::vector<OidcRuleInput> rules = {};
};
BOOST_DESCRIBE_STRUCT(OidcRules, (), (policy, rules))
constexpr std::string_view json_name(json::For<OidcRules> /*type*/) { return "OidcRules"; }

}  // namespace ee::cp
