#include "cp/service/github_oidc.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/log.h"
#include "cp/domain/agent.h"
#include "cp/service/address_key.h"

namespace ee::cp {
namespace {

std::vector<std::string> refusal_slugs() {
  std::vector<std::string> out;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<OidcRefusal>>(
      [&](auto enumerator) { out.emplace_back(enumerator.name); });
  return out;
}

/// What the caller is told: of the token's own faults no more than that there is one.
ErrorCode code_of(OidcRefusal refusal) {
  switch (refusal) {
    case OidcRefusal::github_owner_not_linked: return ErrorCode::github_owner_not_linked;
    case OidcRefusal::account_suspended: return ErrorCode::account_suspended;
    case OidcRefusal::oidc_policy_refused: return ErrorCode::oidc_policy_refused;
    case OidcRefusal::repository_not_allowed: return ErrorCode::repository_not_allowed;
    case OidcRefusal::malformed:
    case OidcRefusal::header_refused:
    case OidcRefusal::alg_refused:
    case OidcRefusal::unknown_key:
    case OidcRefusal::bad_signature:
    case OidcRefusal::bad_issuer:
    case OidcRefusal::bad_audience:
    case OidcRefusal::expired:
    case OidcRefusal::not_yet_valid:
    case OidcRefusal::bad_times:
    case OidcRefusal::claim_missing:
    case OidcRefusal::token_overused: break;
  }
  return ErrorCode::oidc_invalid;
}

Error unavailable(const Error& error) {
  return {.code = ErrorCode::auth_unavailable, .detail = std::string(slug(error.code)) + ": " + error.detail};
}

boost::json::object audited(const OidcClaims& claims) {
  boost::json::object out = {{"repository", claims.repository},
                             {"repository_id", claims.repository_id},
                             {"repository_owner_id", claims.repository_owner_id},
                             {"ref", claims.ref},
                             {"event_name", claims.event_name},
                             {"run_id", claims.run_id},
                             {"sub", claims.subject}};
  if (claims.environment) out["environment"] = *claims.environment;
  if (claims.actor) out["github_actor"] = *claims.actor;
  return out;
}

std::optional<std::string> text_or_nothing(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(std::string(text));
}

std::string actor_of(const OidcClaims& claims) { return "oidc:" + claims.repository_id; }

}  // namespace

/// What the account's rows say of a workflow: a refusal, or the account.
struct GithubOidc::Decision {
  std::optional<OidcRefusal> refusal = {};
  bool name_of_another = false;  ///< the owner's name is known, under another id
  GithubOwnerAccount account = {};
};

GithubOidc::GithubOidc(Parts parts)
    : parts_(std::move(parts)),
      rejects_(parts_.metrics.counter("ee_oidc_rejects_total", "Tokens of GitHub Actions that were refused.",
                                      {{"reason", refusal_slugs()}})) {}

Result<Principal> GithubOidc::authenticate(const OidcRequest& request) {
  const GithubOidcSettings settings = parts_.settings();
  if (!settings.enabled()) return fail(ErrorCode::oidc_disabled);
  const auto judged = vouched(request, settings);
  if (!judged) return std::unexpected(judged.error());
  if (!*judged) return refuse(request, judged->error());
  const OidcClaims& claims = (*judged)->claims;
  const auto decision = decision_of(request, **judged, settings);
  if (!decision) return fail(unavailable(decision.error()));
  if (decision->refusal) return refuse(request, *decision->refusal, &claims, decision->name_of_another);
  return Principal{.kind = PrincipalKind::oidc,
                   .account_id = decision->account.account_id,
                   .account_type = decision->account.account_type,
                   .account_status = decision->account.status,
                   .github_owners = {{.id = claims.repository_owner_id,
                                      .login = claims.repository_owner,
                                      .kind = decision->account.kind}},
                   .oidc_claims = std::make_shared<const OidcClaims>(claims)};
}

/// Rows 1 to 8 of the specification's table: what can be said without the database.
Result<GithubOidc::Judged> GithubOidc::vouched(const OidcRequest& request, const GithubOidcSettings& settings) {
  const auto token = parse_oidc_token(request.token);
  if (!token) return Judged(std::unexpected(token.error()));
  const auto keys = parts_.keys.keys_for(token->kid(), settings.keys, request.stop);
  if (!keys) {
    if (keys.error().code != ErrorCode::oidc_invalid) return std::unexpected(keys.error());
    return Judged(std::unexpected(OidcRefusal::unknown_key));
  }
  const auto key = keys->set->find(token->kid(), token->algorithm());
  if (!key) return Judged(std::unexpected(OidcRefusal::unknown_key));
  const auto verified = token->verify(**key);
  if (!verified) return Judged(std::unexpected(OidcRefusal::bad_signature));
  return judge_oidc_claims(verified->claims(), settings.token, parts_.clock.now());
}

/// Rows 9 to 11.
Result<GithubOidc::Decision> GithubOidc::decide(db::Transaction& tx, const OidcClaims& claims) const {
  const auto account = owners_.find(tx, claims.repository_owner_id);
  if (!account) return std::unexpected(account.error());
  if (!*account) {
    const auto known = owners_.is_name_of_another(tx, claims.repository_owner, claims.repository_owner_id);
    if (!known) return std::unexpected(known.error());
    return Decision{.refusal = OidcRefusal::github_owner_not_linked, .name_of_another = *known};
  }
  Decision out{.account = **account};
  if (out.account.status != AccountStatus::active || out.account.account_type == AccountType::system) {
    out.refusal = OidcRefusal::account_suspended;
    return out;
  }
  if (out.account.oidc_policy == OidcPolicy::off) {
    out.refusal = OidcRefusal::oidc_policy_refused;
    return out;
  }
  std::vector<OidcRuleRow> rules;
  if (out.account.oidc_policy == OidcPolicy::rules) {
    auto rows = accounts_.rules(tx, out.account.account_id);
    if (!rows) return std::unexpected(rows.error());
    rules = std::move(*rows);
  }
  if (!allows_workflow(out.account.oidc_policy, rules, claims)) out.refusal = OidcRefusal::repository_not_allowed;
  return out;
}

/// Row 12, in one transaction with the rows before it.
Result<GithubOidc::Decision> GithubOidc::decide_and_count(db::Transaction& tx, const OidcRequest& request,
                                                          const JudgedClaims& judged,
                                                          const GithubOidcSettings& settings) {
  auto decision = decide(tx, judged.claims);
  if (!decision || decision->refusal) return decision;
  if (auto noted = note_rename(tx, request, judged.claims, *decision); !noted) return std::unexpected(noted.error());
  const auto counted =
      owners_.count_use(tx, judged.claims.token_id, settings.max_uses, judged.expires_at + settings.token.leeway);
  if (!counted) return std::unexpected(counted.error());
  if (!*counted) {
    decision->refusal = OidcRefusal::token_overused;
    return decision;
  }
  const AuditEntry entry{.actor = actor_of(judged.claims),
                         .action = "oidc_accepted",
                         .object_type = "account",
                         .object_id = decision->account.account_id.str(),
                         .request_id = text_or_nothing(request.request_id),
                         .client_address = text_or_nothing(request.client_address),
                         .detail = boost::json::serialize(audited(judged.claims))};
  if (auto written = audit_.append(tx, entry, parts_.clock.now(), parts_.random); !written)
    return std::unexpected(written.error());
  return decision;
}

Result<GithubOidc::Decision> GithubOidc::decision_of(const OidcRequest& request, const JudgedClaims& judged,
                                                     const GithubOidcSettings& settings) {
  if (request.state_changing)
    return parts_.database.write<Decision>(
        [&](db::Transaction& tx) { return decide_and_count(tx, request, judged, settings); });
  auto decision = parts_.database.read<Decision>([&](db::Transaction& tx) { return decide(tx, judged.claims); });
  if (!decision || decision->refusal || decision->account.login == judged.claims.repository_owner) return decision;
  const auto noted = parts_.database.run_write(
      [&](db::Transaction& tx) { return note_rename(tx, request, judged.claims, *decision); });
  if (!noted) return std::unexpected(noted.error());
  return decision;
}

Result<void> GithubOidc::note_rename(db::Transaction& tx, const OidcRequest& request, const OidcClaims& claims,
                                     const Decision& decision) {
  const std::string& before = decision.account.login;
  if (before == claims.repository_owner) return {};
  const auto renamed = owners_.rename(tx, claims.repository_owner_id, before, claims.repository_owner);
  if (!renamed) return std::unexpected(renamed.error());
  if (!*renamed) return {};
  const AuditEntry entry{
      .actor = actor_of(claims),
      .action = "github_owner_renamed",
      .object_type = "account",
      .object_id = decision.account.account_id.str(),
      .request_id = text_or_nothing(request.request_id),
      .client_address = text_or_nothing(request.client_address),
      .detail = boost::json::serialize(boost::json::object{
          {"github_id", claims.repository_owner_id}, {"before", before}, {"after", claims.repository_owner}})};
  const auto written = audit_.append(tx, entry, parts_.clock.now(), parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

/// Writes the refusal down, in a transaction of its own; the caller hears the same whether that works or not. Claims
/// are given only when their signature was verified.
std::unexpected<Error> GithubOidc::refuse(const OidcRequest& request, OidcRefusal refusal, const OidcClaims* claims,
                                          bool name_of_another) {
  const std::string reason(name_of(refusal));
  rejects_.with({reason}).increment();
  const std::string actor = claims != nullptr ? actor_of(*claims) : "anonymous";
  const auto folded =
      fold_.admit(reason + ' ' + actor + ' ' + address_key(request.client_address), parts_.clock.steady_now());
  if (folded) {
    boost::json::object detail = claims != nullptr ? audited(*claims) : boost::json::object();
    detail["folded"] = *folded;
    const AuditEntry entry{.actor = actor,
                           .action = name_of_another ? "github_owner_id_mismatch" : "oidc_refused",
                           .result = AuditResult::refused,
                           .reason_code = reason,
                           .request_id = text_or_nothing(request.request_id),
                           .client_address = text_or_nothing(request.client_address),
                           .detail = boost::json::serialize(detail)};
    const auto written = parts_.database.write<std::string>(
        [&](db::Transaction& tx) { return audit_.append(tx, entry, parts_.clock.now(), parts_.random); });
    if (!written)
      log::error("audit", "a refused token could not be audited",
                 {{"reason_code", reason}, {"client_address", request.client_address}, {"code", written.error().code}});
  }
  return fail(code_of(refusal));
}

Result<bool> GithubOidc::refresh_keys(const std::stop_token& stop) {
  const GithubOidcSettings settings = parts_.settings();
  if (!settings.enabled()) return false;
  return parts_.keys.refresh_due(settings.keys, stop);
}

}  // namespace ee::cp
