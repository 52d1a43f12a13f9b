#include "cp/service/api_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/id.h"
#include "cp/domain/agent.h"
#include "cp/service/active_account.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxName = 63;
constexpr std::size_t kMaxReason = 200;

Error bad_field(std::string field, std::string code, std::string detail) {
  return {.code = ErrorCode::invalid_request,
          .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}};
}

/// The name of a key that another takes the name of: `<name>-old-<4 random>`.
Result<std::string> old_name(const std::string& name, Random& random) {
  // Four characters of a credential's public part: the same alphabet, drawn without bias.
  const auto drawn = new_credential(CredentialKind::live, random);
  if (!drawn) return std::unexpected(drawn.error());
  const std::string suffix = "-old-" + drawn->lookup.substr(0, 4);
  return name.substr(0, kMaxName - suffix.size()) + suffix;
}

std::string key_detail(const ApiKeyRow& key) {
  return fmt::format(R"({{"key_id":{},"name":{},"scopes":{}}})", json::quote(key.id), json::quote(key.name),
                     key.scopes);
}

}  // namespace

Result<MadeKey> make_key(ApiKeyRow row, UtcTime now, Random& random) {
  auto credential = new_credential(CredentialKind::live, random);
  if (!credential) return std::unexpected(std::move(credential.error()));
  auto hash = hash_token(credential->text, random);
  if (!hash) return std::unexpected(std::move(hash.error()));
  auto id = new_uuid_v7(now, random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  row.id = std::move(*id);
  row.lookup = credential->lookup;
  row.secret_hash = std::move(*hash);
  row.created_at = now;
  return MadeKey{.row = std::move(row), .text = std::move(credential->text)};
}

Result<Page<ApiKeyView>> ApiKeys::list(const AccountId& account, const PageRequest& page) {
  return parts_.database.read<Page<ApiKeyView>>([&](db::Transaction& tx) -> Result<Page<ApiKeyView>> {
    if (const auto row = accounts_.named(tx, account); !row) return std::unexpected(row.error());
    const auto keys = keys_.list(tx, account, page);
    if (!keys) return std::unexpected(keys.error());
    Page<ApiKeyView> out{.items = {}, .next = keys->next};
    out.items.reserve(keys->items.size());
    for (const ApiKeyRow& key : keys->items) out.items.push_back(api_key_view(key));
    return out;
  });
}

Result<std::optional<ApiKeyRow>> ApiKeys::own_key(db::Transaction& tx, const AccountCall& call) const {
  if (call.principal.kind != PrincipalKind::account) return std::optional<ApiKeyRow>{};
  auto row = keys_.find(tx, *call.principal.account_id, *call.principal.key_id);
  if (!row) return row;
  // Ended between the check of the credential and now.
  if (!*row || !is_live(**row, parts_.clock.now())) return fail(ErrorCode::invalid_credential);
  return row;
}

Result<ApiKeyRow> ApiKeys::wanted_row(db::Transaction& tx, const AccountCall& call, const KeyWanted& wanted,
                                      const AccountRow& account, UtcTime now) const {
  const auto own = own_key(tx, call);
  if (!own) return std::unexpected(own.error());
  const Scopes most = scopes_of(account.account_type);
  Scopes scopes = *own && !wanted.scopes ? Scopes::of_json((*own)->scopes).value_or(Scopes()) : most;
  if (wanted.scopes) {
    const auto named = Scopes::of_names(*wanted.scopes);
    if (!named || named->empty() || !most.holds(*named))
      return fail(ErrorCode::invalid_scope,
                  fmt::format("keys of type {} may have: {}", name_of(account.account_type), most.json()));
    scopes = *named;
  }
  std::optional<UtcTime> expires_at;
  if (wanted.expires_in_seconds) {
    if (*wanted.expires_in_seconds) expires_at = now + Seconds(**wanted.expires_in_seconds);
  } else if (*own) {
    expires_at = (*own)->expires_at;
  }
  if (*own) {
    if (!Scopes::of_json((*own)->scopes).value_or(Scopes()).holds(scopes))
      return fail(ErrorCode::scope_missing, "a key makes no key with a scope that it lacks");
    if ((*own)->expires_at && (!expires_at || *expires_at > *(*own)->expires_at))
      return fail(bad_field("expires_in_seconds", "above_max", "not past the end of the key that asks"));
  }
  return ApiKeyRow{.account_id = account.id,
                   .name = wanted.name,
                   .scopes = scopes.json(),
                   .created_by = call.actor.name,
                   .expires_at = expires_at};
}

/// Stores the key with its audit row; the answer that shows it once.
Result<EffectAnswer> ApiKeys::keep(db::Transaction& tx, const AccountCall& call, const MadeKey& key,
                                   const AuditEntry& entry, UtcTime now) const {
  if (auto live = keys_.count_live(tx, call.account, now); !live)
    return std::unexpected(std::move(live.error()));
  else if (*live >= ApiKeyStore::kMaxLive)
    return fail(ErrorCode::too_many_keys);
  if (auto inserted = keys_.insert(tx, key.row); !inserted) return std::unexpected(std::move(inserted.error()));
  if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
    return std::unexpected(std::move(audited.error()));
  NewKeyAnswer answer{.key = api_key_view(key.row),
                      .key_id = key.row.id,
                      .api_key = std::nullopt,
                      .secret_shown = true,
                      .warning = std::string(kKeyWarning)};
  const std::string kept = json::write(answer);
  answer.api_key = key.text.reveal();
  answer.secret_shown = false;
  return EffectAnswer{.status = 201, .body = json::write(answer), .kept_body = kept};
}

Result<IdempotentAnswer> ApiKeys::create(const AccountCall& call, const KeyWanted& wanted) {
  if (!is_dns_label(wanted.name)) return fail(ErrorCode::invalid_name);
  if (const auto& life = wanted.expires_in_seconds;
      life && *life && (**life < kMinLifeSeconds || **life > kMaxLifeSeconds))
    return fail(bad_field("expires_in_seconds", **life < kMinLifeSeconds ? "below_min" : "above_max",
                          "300 to 63072000, or null"));
  // An administrator makes a key for somebody else, who must be able to find out why.
  const bool for_another = call.principal.is_admin && call.principal.linked(call.account.str()) == nullptr;
  if (for_another && wanted.reason.value_or("").empty())
    return fail(bad_field("reason", "required", "an administrator says why"));
  if (wanted.reason && wanted.reason->size() > kMaxReason)
    return fail(bad_field("reason", "too_long", "at most 200 bytes"));
  return idempotency_.run(call.idempotent, [&](db::Transaction& tx) -> Result<EffectAnswer> {
    const UtcTime now = parts_.clock.now();
    const auto account = accounts_.named(tx, call.account);
    if (!account) return std::unexpected(account.error());
    if (account->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    auto row = wanted_row(tx, call, wanted, *account, now);
    if (!row) return std::unexpected(std::move(row.error()));
    if (auto retired = keys_.retire_expired(tx, call.account, now); !retired)
      return std::unexpected(std::move(retired.error()));
    auto key = make_key(std::move(*row), now, parts_.random);
    if (!key) return std::unexpected(std::move(key.error()));
    AuditEntry entry = audit_entry(call, "key_created");
    entry.detail = key_detail(key->row);
    if (wanted.reason) {
      entry.detail.pop_back();
      entry.detail += fmt::format(R"(,"reason":{}}})", json::quote(*wanted.reason));
    }
    return keep(tx, call, *key, entry, now);
  });
}

Result<IdempotentAnswer> ApiKeys::rotate(const AccountCall& call, const std::string& key_id,
                                         std::int64_t overlap_seconds) {
  if (overlap_seconds < 0 || overlap_seconds > kMaxOverlapSeconds)
    return fail(bad_field("overlap_seconds", overlap_seconds < 0 ? "below_min" : "above_max", "0 to 604800"));
  auto answer = idempotency_.run(call.idempotent, [&](db::Transaction& tx) -> Result<EffectAnswer> {
    const UtcTime now = parts_.clock.now();
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    const auto own = own_key(tx, call);
    if (!own) return std::unexpected(own.error());
    const auto old = keys_.find(tx, call.account, key_id);
    if (!old) return std::unexpected(old.error());
    if (!*old) return fail(ErrorCode::not_found);
    const ApiKeyRow& before = **old;
    if (!is_live(before, now)) return fail(ErrorCode::key_revoked);
    if (*own) {
      const Scopes scopes = Scopes::of_json(before.scopes).value_or(Scopes());
      if (!Scopes::of_json((*own)->scopes).value_or(Scopes()).holds(scopes))
        return fail(ErrorCode::scope_missing, "a key makes no key with a scope that it lacks");
      if ((*own)->expires_at && (!before.expires_at || *before.expires_at > *(*own)->expires_at))
        return fail(ErrorCode::scope_missing, "a key makes no key that outlives it");
    }
    const auto phased_out = old_name(before.name, parts_.random);
    if (!phased_out) return std::unexpected(phased_out.error());
    const UtcTime ends_at = std::min(before.expires_at.value_or(UtcTime::max()), now + Seconds(overlap_seconds));
    if (auto renamed = keys_.phase_out(tx, before.id, *phased_out, ends_at); !renamed)
      return std::unexpected(std::move(renamed.error()));
    if (overlap_seconds == 0) {
      if (auto revoked = keys_.revoke(tx, before.id, "rotated", now); !revoked)
        return std::unexpected(std::move(revoked.error()));
      if (auto done = sign_ins_.forget_links(tx, call.account); !done) return std::unexpected(std::move(done.error()));
    }
    auto key = make_key({.account_id = call.account,
                         .name = before.name,
                         .scopes = before.scopes,
                         .created_by = call.actor.name,
                         .expires_at = before.expires_at,
                         .rotated_from_key_id = before.id},
                        now, parts_.random);
    if (!key) return std::unexpected(std::move(key.error()));
    AuditEntry entry = audit_entry(call, "key_rotated");
    entry.detail = fmt::format(R"({{"key_id":{},"rotated_from_key_id":{},"overlap_seconds":{}}})",
                               json::quote(key->row.id), json::quote(before.id), overlap_seconds);
    return keep(tx, call, *key, entry, now);
  });
  // The cache still knows the old key with its old end.
  if (answer) parts_.authenticator.forget_key(key_id);
  return answer;
}

Result<void> ApiKeys::revoke(const AccountCall& call, const std::string& key_id, const std::string& reason) {
  if (reason.size() > kMaxReason) return fail(bad_field("reason", "too_long", "at most 200 bytes"));
  const auto revoked = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const UtcTime now = parts_.clock.now();
    if (auto active = require_active(tx, call.principal.is_admin, call.account); !active)
      return std::unexpected(std::move(active.error()));
    const auto key = keys_.find(tx, call.account, key_id);
    if (!key) return std::unexpected(key.error());
    if (!*key) return fail(ErrorCode::not_found);
    if ((*key)->revoked_at) return false;
    const auto live = keys_.count_live(tx, call.account, now);
    if (!live) return std::unexpected(live.error());
    if (is_live(**key, now) && *live == 1 && !call.principal.is_admin) {
      const auto identities = accounts_.identities(tx, call.account);
      if (!identities) return std::unexpected(identities.error());
      const auto is_user = [](const IdentityRow& identity) { return identity.kind == IdentityKind::user; };
      if (std::ranges::none_of(*identities, is_user)) return fail(ErrorCode::last_credential);
    }
    if (auto done = keys_.revoke(tx, key_id, reason.empty() ? "revoked" : reason, now); !done) return done;
    if (auto done = sign_ins_.forget_links(tx, call.account); !done) return std::unexpected(std::move(done.error()));
    AuditEntry entry = audit_entry(call, "key_revoked");
    entry.detail = fmt::format(R"({{"key_id":{},"name":{},"reason":{}}})", json::quote(key_id),
                               json::quote((*key)->name), json::quote(reason));
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return true;
  });
  if (!revoked) return std::unexpected(revoked.error());
  parts_.authenticator.forget_key(key_id);
  return {};
}

}  // namespace ee::cp
