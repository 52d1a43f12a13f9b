#include "cp/service/bootstrap_tokens.h"

#include "common/argon2.h"
#include "common/credential.h"

namespace ee::cp {
namespace {

TokenOutcome refused() { return {.kind = TokenOutcome::Kind::refused}; }

bool fits(const EnrollmentTokenRow& token, const RedeemFacts& facts) {
  return (!token.node_size || *token.node_size == facts.node_size) &&
         (!token.datacenter || *token.datacenter == facts.datacenter);
}

}  // namespace

Result<PresentedToken> BootstrapTokens::present(std::string_view text) const {
  const auto parsed = parse_credential(text);
  if (!parsed || parsed->kind != CredentialKind::enroll) return PresentedToken{};
  const auto row = database_.read<std::optional<EnrollmentTokenRow>>(
      [&](db::Transaction& tx) { return tokens_.find_by_lookup(tx, parsed->lookup); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return PresentedToken{};
  switch (verify_hash((*row)->secret_hash, parsed->text)) {
    case HashMatch::match: return PresentedToken{.enrollment_token_id = (*row)->id};
    case HashMatch::mismatch: return PresentedToken{};
    case HashMatch::unusable: break;
  }
  return fail(ErrorCode::auth_unavailable, "a stored token hash is not usable");
}

Result<TokenOutcome> BootstrapTokens::redeem(db::Transaction& tx, const PresentedToken& token, const RedeemFacts& facts,
                                             const AgentRow* existing, UtcTime now) const {
  if (!token.enrollment_token_id) return refused();
  const auto row = tokens_.find(tx, *token.enrollment_token_id);
  if (!row) return std::unexpected(row.error());
  if (!*row || (*row)->revoked_at || !fits(**row, facts)) return refused();
  const auto account = accounts_.find(tx, (*row)->account_id);
  if (!account) return std::unexpected(account.error());
  if (!*account || (*account)->status == AccountStatus::closed) return refused();
  if (existing == nullptr) return redeem_new(tx, **row, (*account)->status, now);
  if (existing->account_id != (*row)->account_id) return refused();
  // Its owner stays what it is now, whatever the token was made for.
  return TokenOutcome{.kind = TokenOutcome::Kind::redeemed,
                      .owner = {.account_id = existing->account_id,
                                .github_owner_id = existing->github_owner_id,
                                .github_owner = existing->github_owner,
                                .launch_order_id = existing->launch_order_id,
                                .enrollment_token_id = existing->enrollment_token_id}};
}

Result<TokenOutcome> BootstrapTokens::redeem_new(db::Transaction& tx, const EnrollmentTokenRow& token,
                                                 AccountStatus status, UtcTime now) const {
  if (status != AccountStatus::active) return refused();
  if (token.github_owner_id) {
    // The link may have ended since the token was made.
    const auto identity = accounts_.identity(tx, *token.github_owner_id);
    if (!identity) return std::unexpected(identity.error());
    if (!*identity || (*identity)->account_id != token.account_id) return refused();
  }
  const auto counted = tokens_.count_agent(tx, token.id, now);
  if (!counted) return std::unexpected(counted.error());
  if (!*counted) return refused();
  return TokenOutcome{.kind = TokenOutcome::Kind::redeemed,
                      .owner = {.account_id = token.account_id,
                                .github_owner_id = token.github_owner_id,
                                .github_owner = token.github_owner,
                                .launch_order_id = {},
                                .enrollment_token_id = token.id}};
}

}  // namespace ee::cp
