#include "cp/service/account_identities.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "common/id.h"
#include "cp/domain/agent.h"
#include "cp/service/active_account.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxReason = 500;
constexpr std::size_t kMaxEvents = 20;

std::unexpected<Error> bad_field(std::string field, std::string code, std::string detail) {
  return fail(Error{.code = ErrorCode::invalid_request,
                    .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}});
}

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_login(std::string_view text) {
  return !text.empty() && text.size() <= 39 && text.front() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-'; });
}

/// `owner/name` as GitHub writes them.
bool is_repository(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view name = text.substr(slash + 1);
  const auto fits = [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; };
  return is_login(text.substr(0, slash)) && !name.empty() && name.size() <= 100 && std::ranges::all_of(name, fits);
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 19 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_plain(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most &&
         std::ranges::none_of(text, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
}

bool is_event(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

/// The member that is wrong, or null.
const char* wrong_member(const OidcRuleInput& rule) {
  if (rule.repository && !is_repository(*rule.repository)) return "repository";
  if (rule.repository_id && !is_number(*rule.repository_id)) return "repository_id";
  if (rule.ref_glob && !is_plain(*rule.ref_glob, 255)) return "ref_glob";
  if (rule.environment && !is_plain(*rule.environment, 255)) return "environment";
  if (rule.workflow && (!is_plain(*rule.workflow, 512) || rule.workflow->find('@') != std::string::npos))
    return "workflow";
  if (rule.events && (rule.events->empty() || rule.events->size() > kMaxEvents ||
                      !std::ranges::all_of(*rule.events, [](const std::string& event) { return is_event(event); })))
    return "events";
  return nullptr;
}

Result<OidcPolicy> checked_policy(const OidcRules& wanted) {
  const auto invalid = [](std::string field, std::string detail) {
    return fail(Error{.code = ErrorCode::invalid_rule,
                      .fields = {{.field = std::move(field), .code = "bad_format", .detail = std::move(detail)}}});
  };
  const auto policy = enum_of<OidcPolicy>(wanted.policy);
  if (!policy) return invalid("policy", "owner, rules or off");
  if (wanted.rules.size() > static_cast<std::size_t>(AccountStore::kMaxRules)) return invalid("rules", "at most 50");
  for (std::size_t i = 0; i < wanted.rules.size(); ++i)
    if (const char* member = wrong_member(wanted.rules[i]); member != nullptr)
      return invalid(fmt::format("rules[{}].{}", i, member), "not of the form of this member");
  return *policy;
}

std::string json_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) {
    if (out.size() > 1) out += ',';
    out += json::quote(item);
  }
  return out + "]";
}

OidcRuleInput rule_view(const OidcRuleRow& row) {
  OidcRuleInput out{.repository = row.repository,
                    .repository_id = row.repository_id,
                    .ref_glob = row.ref_glob,
                    .environment = row.environment,
                    .workflow = row.workflow};
  if (!row.events) return out;
  const auto parsed = json::parse(*row.events);
  out.events.emplace();
  if (!parsed || !parsed->is_array()) return out;
  out.events->reserve(parsed->get_array().size());
  for (const auto& event : parsed->get_array())
    if (event.is_string()) out.events->emplace_back(event.get_string());
  return out;
}

}  // namespace

Result<std::vector<IdentityView>> AccountIdentities::list(const AccountId& account) {
  using Views = std::vector<IdentityView>;
  return parts_.database.read<Views>([&](db::Transaction& tx) -> Result<Views> {
    if (const auto row = accounts_.named(tx, account); !row) return std::unexpected(row.error());
    const auto rows = accounts_.identities(tx, account);
    if (!rows) return std::unexpected(rows.error());
    Views views;
    views.reserve(rows->size());
    for (const IdentityRow& row : *rows) views.push_back(identity_view(row));
    return views;
  });
}

/// Who an administrator vouches for, or who the session has just proven.
Result<IdentityRow> AccountIdentities::proven(const AccountCall& call, const IdentityWanted& wanted) const {
  const UtcTime now = parts_.clock.now();
  IdentityRow row{
      .github_id = wanted.github_id, .account_id = call.account, .linked_by = call.actor.name, .linked_at = now};
  if (wanted.github_id <= 0) return bad_field("github_id", "below_min", "a GitHub id");
  if (call.principal.is_admin) {
    if (!wanted.kind) return bad_field("kind", "required", "user or org");
    if (!wanted.login || !is_login(*wanted.login)) return bad_field("login", "bad_format", "a GitHub login");
    if (wanted.reason.value_or("").empty()) return bad_field("reason", "required", "an administrator says why");
    if (wanted.reason->size() > kMaxReason) return bad_field("reason", "too_long", "at most 500 bytes");
    row.kind = *wanted.kind;
    row.login = *wanted.login;
  } else {
    if (wanted.kind || wanted.login || wanted.reason)
      return bad_field("github_id", "bad_format", "only this member; the sign-in says the rest");
    const auto& owners = call.principal.github_owners;
    const auto owner = std::ranges::find_if(owners, [&](const GithubOwner& candidate) {
      return candidate.id == wanted.github_id && (candidate.kind == IdentityKind::user || candidate.role == "admin");
    });
    if (owner == owners.end() || now - call.principal.credential_created_at > kFreshLogin)
      return fail(ErrorCode::identity_not_proven);
    row.kind = owner->kind;
    row.login = owner->login;
  }
  row.login_norm = normal_login(row.login);
  return row;
}

Result<IdentityView> AccountIdentities::link(const AccountCall& call, const IdentityWanted& wanted) {
  const auto row = proven(call, wanted);
  if (!row) return std::unexpected(row.error());
  return parts_.database.write<IdentityView>([&](db::Transaction& tx) -> Result<IdentityView> {
    const auto account = accounts_.named(tx, call.account);
    if (!account) return std::unexpected(account.error());
    if (account->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    const auto linked = accounts_.identities(tx, call.account);
    if (!linked) return std::unexpected(linked.error());
    if (std::ranges::find(*linked, row->github_id, &IdentityRow::github_id) != linked->end())
      return fail(ErrorCode::identity_already_linked);
    if (linked->size() >= static_cast<std::size_t>(AccountStore::kMaxIdentities))
      return bad_field("github_id", "too_many", "an account has at most 20 GitHub owners");
    if (auto done = accounts_.link(tx, *row); !done) return std::unexpected(std::move(done.error()));
    AuditEntry entry = audit_entry(call, "identity_linked");
    entry.detail = fmt::format(R"({{"github_id":{},"kind":"{}","login":{},"reason":{}}})", row->github_id,
                               name_of(row->kind), json::quote(row->login), json::quote(wanted.reason.value_or("")));
    if (auto audited = audit_.append(tx, entry, row->linked_at, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return identity_view(*row);
  });
}

Result<void> AccountIdentities::unlink(const AccountCall& call, std::int64_t github_id) {
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    if (const auto account = accounts_.named(tx, call.account); !account) return std::unexpected(account.error());
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    const auto agents = uses_.owner_has_agents(tx, github_id);
    if (!agents) return std::unexpected(agents.error());
    const auto deployments = parts_.holds.owner_in_use(tx, github_id);
    if (!deployments) return std::unexpected(deployments.error());
    const auto removed = accounts_.unlink(tx, call.account, github_id);
    if (!removed) return std::unexpected(removed.error());
    if (!*removed) return fail(ErrorCode::not_found);
    if (*agents || *deployments) return fail(ErrorCode::identity_in_use);
    AuditEntry entry = audit_entry(call, "identity_unlinked");
    entry.detail = fmt::format(R"({{"github_id":{}}})", github_id);
    if (auto audited = audit_.append(tx, entry, parts_.clock.now(), parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return {};
  });
}

Result<OidcRules> AccountIdentities::rules(const AccountId& account) {
  return parts_.database.read<OidcRules>([&](db::Transaction& tx) -> Result<OidcRules> {
    const auto row = accounts_.named(tx, account);
    if (!row) return std::unexpected(row.error());
    const auto rules = accounts_.rules(tx, account);
    if (!rules) return std::unexpected(rules.error());
    OidcRules out{.policy = std::string(name_of(row->oidc_policy)), .rules = {}};
    out.rules.reserve(rules->size());
    for (const OidcRuleRow& rule : *rules) out.rules.push_back(rule_view(rule));
    return out;
  });
}

Result<OidcRules> AccountIdentities::set_rules(const AccountCall& call, const OidcRules& wanted) {
  const auto policy = checked_policy(wanted);
  if (!policy) return std::unexpected(policy.error());
  return parts_.database.write<OidcRules>([&](db::Transaction& tx) -> Result<OidcRules> {
    const UtcTime now = parts_.clock.now();
    auto account = accounts_.named(tx, call.account);
    if (!account) return std::unexpected(std::move(account.error()));
    if (account->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    std::vector<OidcRuleRow> rows;
    rows.reserve(wanted.rules.size());
    for (const OidcRuleInput& rule : wanted.rules) {
      const auto id = new_uuid_v7(now, parts_.random);
      if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
      rows.push_back({.id = *id,
                      .account_id = call.account,
                      .repository = rule.repository,
                      .repository_id = rule.repository_id,
                      .ref_glob = rule.ref_glob,
                      .environment = rule.environment,
                      .workflow = rule.workflow,
                      .events = rule.events ? std::optional(json_list(*rule.events)) : std::nullopt,
                      .created_at = now,
                      .created_by = call.actor.name});
    }
    if (auto replaced = accounts_.replace_rules(tx, call.account, rows); !replaced)
      return std::unexpected(std::move(replaced.error()));
    account->oidc_policy = *policy;
    const auto updated = accounts_.update(tx, *account, now);
    if (!updated) return std::unexpected(updated.error());
    if (!*updated) return fail(ErrorCode::concurrent_update);
    AuditEntry entry = audit_entry(call, "oidc_rules_changed");
    entry.detail = fmt::format(R"({{"policy":"{}","rules":{}}})", name_of(*policy), rows.size());
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return wanted;
  });
}

}  // namespace ee::cp
