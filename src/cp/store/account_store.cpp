#include "cp/store/account_store.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

Result<void> done(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

const std::string& select_accounts() {
  static const std::string sql = fmt::format("SELECT {} FROM accounts", db::columns_of<AccountRow>());
  return sql;
}
const std::string& select_identities() {
  static const std::string sql = fmt::format("SELECT {} FROM account_identities", db::columns_of<IdentityRow>());
  return sql;
}

}  // namespace

std::string normal_login(std::string_view login) {
  std::string out(login);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

Result<void> AccountStore::create(db::Transaction& tx, const AccountRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO accounts ({}) VALUES ({})", db::columns_of<AccountRow>(),
                                             db::placeholders_of<AccountRow>());
  const auto inserted = tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::account_name_taken});
  if (!inserted) return std::unexpected(inserted.error());
  return done(
      tx.execute("INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, :now, :now)",
                 {{"id", row.id}, {"now", row.created_at}}));
}

Result<std::optional<AccountRow>> AccountStore::find(db::Transaction& tx, const AccountId& id) const {
  static const std::string sql = select_accounts() + " WHERE id=:id";
  return tx.query_one<AccountRow>(sql, {{"id", id}});
}

Result<AccountRow> AccountStore::named(db::Transaction& tx, const AccountId& id) const {
  auto row = find(tx, id);
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->account_type == AccountType::system) return fail(ErrorCode::account_not_found);
  return std::move(**row);
}

Result<Page<AccountRow>> AccountStore::list(db::Transaction& tx, const AccountFilter& filter,
                                            const PageRequest& page) const {
  // A statement names only the filters that are set: few texts, and an index that fits each.
  std::string sql = select_accounts() + " WHERE account_type<>'system'";
  db::Params params;
  if (page.after) {
    sql += " AND (created_at,id)>(:at,:after)";
    params.emplace_back("at", page.after->at);
    params.emplace_back("after", page.after->id);
  }
  if (filter.account_type) {
    sql += " AND account_type=:account_type";
    params.emplace_back("account_type", *filter.account_type);
  }
  if (filter.status) {
    sql += " AND status=:status";
    params.emplace_back("status", *filter.status);
  }
  if (filter.name_prefix) {
    // A name is a DNS label: `~` is above all of its characters.
    sql += " AND name>=:name_from AND name<:name_to";
    params.emplace_back("name_from", *filter.name_prefix);
    params.emplace_back("name_to", *filter.name_prefix + "~");
  }
  if (filter.github_login) {
    sql += " AND id IN (SELECT account_id FROM account_identities WHERE login_norm=:login)";
    params.emplace_back("login", *filter.github_login);
  }
  sql += " ORDER BY created_at, id LIMIT :limit";
  params.emplace_back("limit", page.limit + 1);
  auto rows = tx.query<AccountRow>(sql, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const AccountRow& row) { return PagePosition{.at = row.created_at, .id = row.id.str()}; });
}

Result<bool> AccountStore::update(db::Transaction& tx, AccountRow& row, UtcTime now) const {
  const auto changed = tx.execute(
      "UPDATE accounts SET name=:name, description=:description, status=:status, status_reason=:status_reason,"
      " contact_email=:contact_email, operator_account_id=:operator, credit_limit_micros=:credit_limit,"
      " spend_limit_micros=:spend_limit, spend_limit_action=:spend_action, oidc_policy=:oidc_policy, updated_at=:now,"
      " closed_at=:closed_at, version=version+1 WHERE id=:id AND version=:version",
      {{"name", row.name},
       {"description", row.description},
       {"status", row.status},
       {"status_reason", row.status_reason},
       {"contact_email", row.contact_email},
       {"operator", row.operator_account_id},
       {"credit_limit", row.credit_limit_micros},
       {"spend_limit", row.spend_limit_micros},
       {"spend_action", row.spend_limit_action},
       {"oidc_policy", row.oidc_policy},
       {"now", now},
       {"closed_at", row.closed_at},
       {"id", row.id},
       {"version", row.version}},
      db::OnUnique{ErrorCode::account_name_taken});
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 0) return false;
  row.updated_at = now;
  ++row.version;
  return true;
}

Result<AccountBalance> AccountStore::money(db::Transaction& tx, const AccountId& id) const {
  auto row = tx.query_one<AccountBalance>(
      "SELECT account_id, balance_micros, billing_state FROM account_balances WHERE account_id=:id", {{"id", id}});
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return fail(ErrorCode::internal_error, "an account has no balance row");
  return std::move(**row);
}

Result<void> AccountStore::link(db::Transaction& tx, const IdentityRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO account_identities ({}) VALUES ({})",
                                             db::columns_of<IdentityRow>(), db::placeholders_of<IdentityRow>());
  return done(tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::identity_already_linked}));
}

Result<bool> AccountStore::unlink(db::Transaction& tx, const AccountId& account, std::int64_t github_id) const {
  const auto removed = tx.execute("DELETE FROM account_identities WHERE account_id=:account AND github_id=:github_id",
                                  {{"account", account}, {"github_id", github_id}});
  if (!removed) return std::unexpected(removed.error());
  return *removed > 0;
}

Result<std::int64_t> AccountStore::unlink_all(db::Transaction& tx, const AccountId& account) const {
  return tx.execute("DELETE FROM account_identities WHERE account_id=:account", {{"account", account}});
}

Result<std::vector<IdentityRow>> AccountStore::identities(db::Transaction& tx, const AccountId& account) const {
  static const std::string sql = select_identities() + " WHERE account_id=:account ORDER BY github_id";
  return tx.query<IdentityRow>(sql, {{"account", account}});
}

Result<std::optional<IdentityRow>> AccountStore::identity(db::Transaction& tx, std::int64_t github_id) const {
  static const std::string sql = select_identities() + " WHERE github_id=:github_id";
  return tx.query_one<IdentityRow>(sql, {{"github_id", github_id}});
}

Result<std::optional<LinkedAccount>> AccountStore::linked(db::Transaction& tx, std::int64_t github_id) const {
  return tx.query_one<LinkedAccount>(
      "SELECT accounts.id, account_type, status FROM account_identities JOIN accounts ON accounts.id=account_id"
      " WHERE github_id=:github_id AND status<>'closed'",
      {{"github_id", github_id}});
}

Result<std::vector<OidcRuleRow>> AccountStore::rules(db::Transaction& tx, const AccountId& account) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM oidc_rules WHERE account_id=:account ORDER BY created_at, id", db::columns_of<OidcRuleRow>());
  return tx.query<OidcRuleRow>(sql, {{"account", account}});
}

Result<void> AccountStore::replace_rules(db::Transaction& tx, const AccountId& account,
                                         const std::vector<OidcRuleRow>& rules) const {
  static const std::string sql = fmt::format("INSERT INTO oidc_rules ({}) VALUES ({})", db::columns_of<OidcRuleRow>(),
                                             db::placeholders_of<OidcRuleRow>());
  if (const auto removed = tx.execute("DELETE FROM oidc_rules WHERE account_id=:account", {{"account", account}});
      !removed)
    return std::unexpected(removed.error());
  for (const OidcRuleRow& rule : rules)
    if (const auto inserted = tx.execute(sql, db::params_of(rule)); !inserted) return std::unexpected(inserted.error());
  return {};
}

}  // namespace ee::cp
