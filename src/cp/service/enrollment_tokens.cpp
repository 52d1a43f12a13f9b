#include "cp/service/enrollment_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/id.h"
#include "common/node_size.h"
#include "cp/service/active_account.h"

namespace ee::cp {
namespace {

std::optional<std::string> text_or_nothing(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

EnrollmentTokenView view_of(const EnrollmentTokenRow& row, UtcTime now) {
  return {.id = row.id,
          .account_id = row.account_id.str(),
          .live = is_live(row, now),
          .max_agents = row.max_agents,
          .used_agents = row.used_agents,
          .node_size = row.node_size,
          .datacenter = row.datacenter,
          .github_owner_id = row.github_owner_id,
          .github_owner = row.github_owner,
          .created_at = row.created_at,
          .expires_at = row.expires_at,
          .revoked_at = row.revoked_at};
}

Result<void> check(const EnrollmentTokenRequest& wanted) {
  if (wanted.node_size && find_node_size(*wanted.node_size) == nullptr) return fail(ErrorCode::unknown_node_size);
  if (wanted.datacenter && !parse_datacenter(*wanted.datacenter))
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "datacenter", .code = "bad_format", .detail = "<cloud>:<zone>"}}});
  return {};
}

}  // namespace

Result<Page<EnrollmentTokenView>> EnrollmentTokens::list(const std::vector<AccountId>& accounts,
                                                         const PageRequest& page) {
  const std::string after = page.after ? page.after->id : "";
  return database_.read<Page<EnrollmentTokenView>>([&](db::Transaction& tx) -> Result<Page<EnrollmentTokenView>> {
    std::vector<EnrollmentTokenRow> rows;
    for (const AccountId& account : accounts) {
      auto found = tokens_.list(tx, account, after, page.limit + 1);
      if (!found) return std::unexpected(found.error());
      std::ranges::move(*found, std::back_inserter(rows));
    }
    std::ranges::sort(rows, {}, &EnrollmentTokenRow::id);
    const auto found = page_of(std::move(rows), page.limit,
                               [](const EnrollmentTokenRow& row) { return PagePosition{.at = {}, .id = row.id}; });
    Page<EnrollmentTokenView> out{.items = {}, .next = found.next};
    const UtcTime now = clock_.now();
    for (const EnrollmentTokenRow& row : found.items) out.items.push_back(view_of(row, now));
    return out;
  });
}

Result<IdempotentAnswer> EnrollmentTokens::create(const AccountId& account, const EnrollmentTokenRequest& wanted,
                                                  const Actor& actor, const std::optional<IdempotentRequest>& request) {
  if (auto good = check(wanted); !good) return std::unexpected(good.error());
  return idempotency_.run(request, [&](db::Transaction& tx) { return make(tx, account, wanted, actor); });
}

Result<EffectAnswer> EnrollmentTokens::make(db::Transaction& tx, const AccountId& account,
                                            const EnrollmentTokenRequest& wanted, const Actor& actor) {
  const UtcTime now = clock_.now();
  if (auto active = require_active(tx, actor.is_admin, account); !active)
    return std::unexpected(std::move(active.error()));
  EnrollmentTokenRow row{.account_id = account,
                         .node_size = wanted.node_size,
                         .datacenter = wanted.datacenter,
                         .max_agents = wanted.max_agents,
                         .expires_at = now + Seconds(wanted.ttl_seconds),
                         .created_at = now,
                         .created_by = actor.name};
  if (wanted.github_owner_id) {
    const auto identity = accounts_.identity(tx, *wanted.github_owner_id);
    if (!identity) return std::unexpected(identity.error());
    if (!*identity || (*identity)->account_id != account) return fail(ErrorCode::github_owner_not_linked);
    row.github_owner_id = (*identity)->github_id;
    row.github_owner = (*identity)->login;
  }
  const auto live = tokens_.count_live(tx, account, now);
  if (!live) return std::unexpected(live.error());
  if (*live >= EnrollmentTokenStore::kMaxLive) return fail(ErrorCode::too_many_tokens);
  const auto credential = new_credential(CredentialKind::enroll, random_);
  if (!credential) return std::unexpected(credential.error());
  auto hash = hash_token(credential->text, random_);
  if (!hash) return std::unexpected(hash.error());
  auto id = new_uuid_v7(now, random_);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  row.id = std::move(*id);
  row.lookup = credential->lookup;
  row.secret_hash = std::move(*hash);
  if (auto inserted = tokens_.insert(tx, row); !inserted) return std::unexpected(inserted.error());
  if (auto audited = audit(tx, actor, "enrollment_token_created", row); !audited)
    return std::unexpected(audited.error());
  NewEnrollmentToken answer{.id = row.id, .token = {}, .expires_at = row.expires_at, .secret_shown = true};
  const std::string kept = json::write(answer);
  answer.token = credential->text.reveal();
  answer.secret_shown = false;
  return EffectAnswer{.status = 201, .body = json::write(answer), .kept_body = kept};
}

Result<void> EnrollmentTokens::revoke(const std::vector<AccountId>& accounts, const std::string& id,
                                      const Actor& actor) {
  return database_.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto row = tokens_.find(tx, id);
    if (!row) return std::unexpected(row.error());
    if (!*row || std::ranges::find(accounts, (*row)->account_id) == accounts.end()) return fail(ErrorCode::not_found);
    if (auto active = require_active(tx, actor.is_admin, (*row)->account_id); !active) return active;
    const auto revoked = tokens_.revoke(tx, id, clock_.now());
    if (!revoked) return std::unexpected(revoked.error());
    if (!*revoked) return {};
    return audit(tx, actor, "enrollment_token_revoked", **row);
  });
}

Result<void> EnrollmentTokens::audit(db::Transaction& tx, const Actor& actor, std::string action,
                                     const EnrollmentTokenRow& token) {
  const auto written =
      audit_.append(tx,
                    {.actor = actor.name,
                     .action = std::move(action),
                     .object_type = "enrollment_token",
                     .object_id = token.id,
                     .request_id = text_or_nothing(actor.request_id),
                     .client_address = text_or_nothing(actor.client_address),
                     .detail = fmt::format(R"({{"account_id":{},"max_agents":{},"used_agents":{}}})",
                                           json::quote(token.account_id.str()), token.max_agents, token.used_agents)},
                    clock_.now(), random_);
  if (!written) return std::unexpected(written.error());
  return {};
}

}  // namespace ee::cp
