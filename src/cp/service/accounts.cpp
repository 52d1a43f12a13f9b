#include "cp/service/accounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "common/id.h"
#include "common/utf8.h"
#include "cp/domain/agent.h"
#include "cp/service/active_account.h"
#include "cp/service/address_key.h"
#include "cp/service/api_keys.h"
#include "cp/store/charge_store.h"
#include "cp/store/share_store.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxDescription = 500;
constexpr std::size_t kMaxEmail = 254;
constexpr std::size_t kMaxReason = 500;
constexpr std::int64_t kMaxLimitMicros = 9'000'000'000'000;

std::unexpected<Error> bad_field(std::string field, std::string code, std::string detail) {
  return fail(Error{.code = ErrorCode::invalid_request,
                    .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}});
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return (c >= 0 && c < 0x20 && c != '\n') || c == 0x7f; });
}

Result<void> check_description(const std::string& text) {
  if (text.size() > kMaxDescription) return bad_field("description", "too_long", "at most 500 bytes");
  if (!is_utf8(text) || has_control_character(text)) return bad_field("description", "bad_format", "plain text");
  return {};
}

/// Only its look: the address is for people, nothing is sent there.
Result<void> check_email(const std::optional<std::string>& email) {
  if (!email) return {};
  if (email->size() > kMaxEmail) return bad_field("contact_email", "too_long", "at most 254 bytes");
  const std::size_t at = email->find('@');
  const auto is_plain = [](char c) { return c > 0x20 && c < 0x7f; };
  if (at == 0 || at == std::string::npos || at + 1 == email->size() || email->find('@', at + 1) != std::string::npos ||
      !std::ranges::all_of(*email, is_plain))
    return bad_field("contact_email", "bad_format", "name@domain");
  return {};
}

Result<void> check_reason(const std::string& reason) {
  if (reason.empty()) return bad_field("reason", "too_short", "1 to 500 bytes");
  if (reason.size() > kMaxReason) return bad_field("reason", "too_long", "1 to 500 bytes");
  return {};
}

bool fits(const AccountRow& row, const AccountFilter& filter) {
  return (!filter.account_type || row.account_type == *filter.account_type) &&
         (!filter.status || row.status == *filter.status) &&
         (!filter.name_prefix || row.name.starts_with(*filter.name_prefix));
}

const GithubOwner* signed_in_user(const Principal& principal) {
  for (const GithubOwner& owner : principal.github_owners)
    if (owner.kind == IdentityKind::user) return &owner;
  return nullptr;
}

}  // namespace

Result<AccountType> Accounts::allowed_type(const AccountCall& call, const AccountWanted& wanted) {
  const bool is_admin = call.principal.is_admin;
  const bool is_user = call.principal.kind == PrincipalKind::session && !is_admin;
  if (!is_admin) {
    const SignupMode mode = parts_.signup_mode();
    if (mode == SignupMode::closed || (mode == SignupMode::github && !is_user)) return fail(ErrorCode::signup_closed);
  }
  if (!is_dns_label(wanted.name)) return fail(ErrorCode::invalid_name);
  if (!is_dns_label(wanted.key_name)) return fail(ErrorCode::invalid_name, "key_name");
  const auto type = enum_of<AccountType>(wanted.account_type);
  if (!type) return fail(ErrorCode::invalid_account_type);
  if (*type == AccountType::system || (*type == AccountType::launcher && !is_admin))
    return fail(ErrorCode::account_type_not_allowed, *type == AccountType::system
                                                         ? "nobody makes accounts of type system"
                                                         : "administrators make accounts of type launcher");
  if (auto fine = check_description(wanted.description); !fine) return std::unexpected(fine.error());
  if (auto fine = check_email(wanted.contact_email); !fine) return std::unexpected(fine.error());
  return *type;
}

Result<IdempotentAnswer> Accounts::create(const AccountCall& call, const AccountWanted& wanted) {
  const auto type = allowed_type(call, wanted);
  if (!type) return std::unexpected(type.error());
  if (call.principal.kind == PrincipalKind::anonymous) {
    const std::string address = address_key(call.actor.client_address);
    const SteadyTime now = parts_.clock.steady_now();
    if (const auto wait = signups_.blocked(address, now))
      return fail(Error{.code = ErrorCode::rate_limited, .detail = "too many sign-ups", .retry_after = wait});
    signups_.failed(address, now);
  }
  return idempotency_.run(call.idempotent, [&](db::Transaction& tx) { return make(tx, call, wanted, *type); });
}

Result<EffectAnswer> Accounts::make(db::Transaction& tx, const AccountCall& call, const AccountWanted& wanted,
                                    AccountType type) {
  const UtcTime now = parts_.clock.now();
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  const AccountRow row{.id = AccountId(*id),
                       .name = wanted.name,
                       .description = wanted.description,
                       .account_type = type,
                       .contact_email = wanted.contact_email,
                       .created_at = now,
                       .created_by = call.actor.name,
                       .updated_at = now};
  if (auto created = accounts_.create(tx, row); !created) return std::unexpected(std::move(created.error()));
  if (const GithubOwner* user = signed_in_user(call.principal); user != nullptr && !call.principal.is_admin) {
    const IdentityRow identity{.github_id = user->id,
                               .account_id = row.id,
                               .kind = IdentityKind::user,
                               .login = user->login,
                               .login_norm = normal_login(user->login),
                               .linked_by = call.actor.name,
                               .linked_at = now};
    if (auto linked = accounts_.link(tx, identity); !linked) return std::unexpected(std::move(linked.error()));
  }
  auto key = make_key(
      {.account_id = row.id, .name = wanted.key_name, .scopes = scopes_of(type).json(), .created_by = call.actor.name},
      now, parts_.random);
  if (!key) return std::unexpected(std::move(key.error()));
  if (auto inserted = keys_.insert(tx, key->row); !inserted) return std::unexpected(std::move(inserted.error()));
  AuditEntry entry = audit_entry(call, "account_created");
  entry.object_id = row.id.str();
  entry.detail = fmt::format(R"({{"name":{},"account_type":"{}","key_id":"{}"}})", json::quote(row.name), name_of(type),
                             key->row.id);
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
    return std::unexpected(std::move(audited.error()));
  auto object = account_object(tx, row);
  if (!object) return std::unexpected(std::move(object.error()));
  NewAccountAnswer answer{.account = std::move(*object),
                          .key_id = key->row.id,
                          .api_key = std::nullopt,
                          .secret_shown = true,
                          .warning = std::string(kKeyWarning)};
  const std::string kept = json::write(answer);
  answer.api_key = key->text.reveal();
  answer.secret_shown = false;
  return EffectAnswer{.status = 201, .body = json::write(answer), .kept_body = kept};
}

Result<Page<AccountObject>> Accounts::list(const Principal& principal, const AccountFilter& filter,
                                           const PageRequest& page) {
  return parts_.database.read<Page<AccountObject>>([&](db::Transaction& tx) -> Result<Page<AccountObject>> {
    Page<AccountRow> rows;
    if (principal.is_admin) {
      auto found = accounts_.list(tx, filter, page);
      if (!found) return std::unexpected(std::move(found.error()));
      rows = std::move(*found);
    } else {
      for (const LinkedAccount& linked : principal.linked_accounts) {
        auto row = accounts_.find(tx, linked.id);
        if (!row) return std::unexpected(std::move(row.error()));
        const auto position = [](const AccountRow& account) { return std::pair(account.created_at, account.id.str()); };
        if (!*row || !fits(**row, filter)) continue;
        const auto named = has_login(tx, linked.id, filter);
        if (!named) return std::unexpected(named.error());
        if (!*named) continue;
        if (page.after && position(**row) <= std::pair(page.after->at, page.after->id)) continue;
        rows.items.push_back(std::move(**row));
      }
      std::ranges::sort(rows.items, {}, [](const AccountRow& row) { return std::pair(row.created_at, row.id); });
      rows = page_of(std::move(rows.items), page.limit,
                     [](const AccountRow& row) { return PagePosition{.at = row.created_at, .id = row.id.str()}; });
    }
    Page<AccountObject> out{.items = {}, .next = rows.next};
    out.items.reserve(rows.items.size());
    for (const AccountRow& row : rows.items) {
      auto object = account_object(tx, row);
      if (!object) return std::unexpected(std::move(object.error()));
      out.items.push_back(std::move(*object));
    }
    return out;
  });
}

Result<bool> Accounts::has_login(db::Transaction& tx, const AccountId& account, const AccountFilter& filter) const {
  if (!filter.github_login) return true;
  const auto identities = accounts_.identities(tx, account);
  if (!identities) return std::unexpected(identities.error());
  return std::ranges::find(*identities, *filter.github_login, &IdentityRow::login_norm) != identities->end();
}

Result<AccountObject> Accounts::get(const AccountId& account) {
  return parts_.database.read<AccountObject>([&](db::Transaction& tx) -> Result<AccountObject> {
    const auto row = accounts_.named(tx, account);
    if (!row) return std::unexpected(row.error());
    return account_object(tx, *row);
  });
}

Result<std::vector<AccountRow>> Accounts::behind(const Principal& principal) {
  using Rows = std::vector<AccountRow>;
  std::vector<AccountId> ids;
  if (principal.account_id) ids.push_back(*principal.account_id);
  for (const LinkedAccount& linked : principal.linked_accounts) ids.push_back(linked.id);
  if (ids.empty()) return Rows{};
  return parts_.database.read<Rows>([&](db::Transaction& tx) -> Result<Rows> {
    Rows rows;
    rows.reserve(ids.size());
    for (const AccountId& id : ids) {
      auto row = accounts_.find(tx, id);
      if (!row) return std::unexpected(std::move(row.error()));
      if (*row) rows.push_back(std::move(**row));
    }
    return rows;
  });
}

Result<void> Accounts::apply(db::Transaction& tx, const AccountCall& call, const AccountPatch& patch,
                             AccountRow& row) const {
  if ((patch.status_reason || patch.operator_account_id) && !call.principal.is_admin)
    return fail(ErrorCode::admin_required, "administrators set status_reason and operator_account_id");
  if (patch.name) {
    if (!is_dns_label(*patch.name)) return fail(ErrorCode::invalid_name);
    row.name = *patch.name;
  }
  if (patch.description) {
    if (auto fine = check_description(*patch.description); !fine) return fine;
    row.description = *patch.description;
  }
  if (patch.contact_email) {
    if (auto fine = check_email(*patch.contact_email); !fine) return fine;
    row.contact_email = *patch.contact_email;
  }
  if (patch.spend_limit) {
    if (const auto& limit = *patch.spend_limit; limit && (limit->value < 0 || limit->value > kMaxLimitMicros))
      return bad_field("spend_limit", limit->value < 0 ? "below_min" : "above_max", "0 to 9000000, or null");
    row.spend_limit_micros = *patch.spend_limit;
  }
  if (patch.spend_limit_action) row.spend_limit_action = *patch.spend_limit_action;
  if (patch.oidc_policy) row.oidc_policy = *patch.oidc_policy;
  if (patch.status_reason) {
    if (*patch.status_reason && (*patch.status_reason)->size() > kMaxReason)
      return bad_field("status_reason", "too_long", "at most 500 bytes");
    row.status_reason = *patch.status_reason;
  }
  if (!patch.operator_account_id) return {};
  if (row.account_type != AccountType::launcher)
    return bad_field("operator_account_id", "bad_format", "only of accounts of type launcher");
  row.operator_account_id = std::nullopt;
  if (!*patch.operator_account_id) return {};
  const auto owner = accounts_.find(tx, AccountId(**patch.operator_account_id));
  if (!owner) return std::unexpected(owner.error());
  const bool is_owner =
      *owner && (*owner)->status == AccountStatus::active &&
      ((*owner)->account_type == AccountType::agent || (*owner)->account_type == AccountType::deployer);
  if (!is_owner) return bad_field("operator_account_id", "bad_format", "an active account of type agent or deployer");
  row.operator_account_id = (*owner)->id;
  return {};
}

Result<AccountObject> Accounts::update(const AccountCall& call, const AccountPatch& patch,
                                       const std::optional<std::int64_t>& if_match) {
  return parts_.database.write<AccountObject>([&](db::Transaction& tx) -> Result<AccountObject> {
    const UtcTime now = parts_.clock.now();
    auto row = accounts_.named(tx, call.account);
    if (!row) return std::unexpected(std::move(row.error()));
    if (row->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    if (if_match && *if_match != row->version) return fail(ErrorCode::version_mismatch);
    if (auto applied = apply(tx, call, patch, *row); !applied) return std::unexpected(std::move(applied.error()));
    const auto updated = accounts_.update(tx, *row, now);
    if (!updated) return std::unexpected(updated.error());
    if (!*updated) return fail(ErrorCode::version_mismatch);
    AuditEntry entry = audit_entry(call, "account_updated");
    std::string fields;
    const auto named = [&](bool changed, std::string_view name) {
      if (changed) fields += fmt::format("{}\"{}\"", fields.empty() ? "" : ",", name);
    };
    named(patch.name.has_value(), "name");
    named(patch.description.has_value(), "description");
    named(patch.contact_email.has_value(), "contact_email");
    named(patch.spend_limit.has_value(), "spend_limit");
    named(patch.spend_limit_action.has_value(), "spend_limit_action");
    named(patch.oidc_policy.has_value(), "oidc_policy");
    named(patch.status_reason.has_value(), "status_reason");
    named(patch.operator_account_id.has_value(), "operator_account_id");
    entry.detail = fmt::format(R"({{"fields":[{}],"version":{}}})", fields, row->version);
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return account_object(tx, *row);
  });
}

Result<AccountObject> Accounts::suspend(const AccountCall& call, const std::string& reason, bool stop_deployments) {
  return set_status(call, AccountStatus::suspended, reason, stop_deployments);
}

Result<AccountObject> Accounts::resume(const AccountCall& call, const std::string& reason) {
  return set_status(call, AccountStatus::active, reason, false);
}

Result<AccountObject> Accounts::set_status(const AccountCall& call, AccountStatus status, const std::string& reason,
                                           bool stop_deployments) {
  if (auto fine = check_reason(reason); !fine) return std::unexpected(fine.error());
  auto changed = parts_.database.write<AccountObject>([&](db::Transaction& tx) -> Result<AccountObject> {
    const UtcTime now = parts_.clock.now();
    auto row = accounts_.named(tx, call.account);
    if (!row) return std::unexpected(std::move(row.error()));
    if (row->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    const bool suspends = status == AccountStatus::suspended;
    row->status = status;
    row->status_reason = suspends ? std::optional(reason) : std::nullopt;
    const auto updated = accounts_.update(tx, *row, now);
    if (!updated) return std::unexpected(updated.error());
    if (!*updated) return fail(ErrorCode::concurrent_update);
    if (!suspends)
      if (auto lifted = uses_.lift_dispute_hold(tx, call.account, now); !lifted)
        return std::unexpected(std::move(lifted.error()));
    std::int64_t stopped = 0;
    if (stop_deployments) {
      const auto asked = parts_.holds.stop_deployments(tx, call.account, "account_suspended", now);
      if (!asked) return std::unexpected(asked.error());
      stopped = *asked;
    }
    AuditEntry entry = audit_entry(call, suspends ? "account_suspended" : "account_resumed");
    entry.detail = fmt::format(R"({{"reason":{},"stopped_deployments":{}}})", json::quote(reason), stopped);
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return account_object(tx, *row);
  });
  if (changed) parts_.authenticator.forget(call.account);
  return changed;
}

Result<void> Accounts::check_closable(db::Transaction& tx, const AccountId& account) const {
  const auto refuse_if = [](const Result<bool>& held, ErrorCode code) -> Result<void> {
    if (!held) return std::unexpected(held.error());
    if (*held) return fail(code);
    return {};
  };
  if (auto free = refuse_if(parts_.holds.has_deployments(tx, account), ErrorCode::account_has_deployments); !free)
    return free;
  if (auto free = refuse_if(uses_.has_unbilled_usage(tx, account), ErrorCode::account_has_unbilled_usage); !free)
    return free;
  if (auto free = refuse_if(uses_.has_agents(tx, account), ErrorCode::account_has_agents); !free) return free;
  if (auto free = refuse_if(parts_.holds.has_shares(tx, account), ErrorCode::account_in_shares); !free) return free;
  // A list that was in force in an hour that has not been charged yet still pays.
  const auto billing = ChargeStore().meta(tx);
  if (!billing) return std::unexpected(billing.error());
  UtcTime from = parts_.clock.now();
  if (*billing) from = std::min(from, (*billing)->next_hour_at);
  if (auto free = refuse_if(ShareStore().names_account(tx, account, from), ErrorCode::account_in_shares); !free)
    return free;
  // So does one of an hour that a segment was set aside for: a retry charges it by that list.
  if (auto free = refuse_if(ShareStore().awaits_set_aside(tx, account), ErrorCode::account_in_shares); !free)
    return free;
  const auto money = accounts_.money(tx, account);
  if (!money) return std::unexpected(money.error());
  if (money->balance_micros.value != 0)
    return fail(ErrorCode::balance_not_zero, "the balance is " + to_usd_text(money->balance_micros));
  return refuse_if(uses_.has_pending_deposits(tx, account), ErrorCode::account_has_pending_deposits);
}

Result<void> Accounts::close(const AccountCall& call) {
  const auto closed = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const UtcTime now = parts_.clock.now();
    auto row = accounts_.named(tx, call.account);
    if (!row) return std::unexpected(std::move(row.error()));
    if (row->status == AccountStatus::closed) return false;
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    if (auto closable = check_closable(tx, call.account); !closable)
      return std::unexpected(std::move(closable.error()));
    const auto revoked = keys_.revoke_all(tx, call.account, "account_closed", now);
    if (!revoked) return std::unexpected(revoked.error());
    const auto freed = accounts_.unlink_all(tx, call.account);
    if (!freed) return std::unexpected(freed.error());
    row->status = AccountStatus::closed;
    row->closed_at = now;
    const auto updated = accounts_.update(tx, *row, now);
    if (!updated) return std::unexpected(updated.error());
    if (!*updated) return fail(ErrorCode::concurrent_update);
    AuditEntry entry = audit_entry(call, "account_closed");
    entry.detail = fmt::format(R"({{"name":{},"revoked_keys":{},"freed_identities":{}}})", json::quote(row->name),
                               revoked->size(), *freed);
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return true;
  });
  if (!closed) return std::unexpected(closed.error());
  parts_.authenticator.forget(call.account);
  return {};
}

}  // namespace ee::cp
