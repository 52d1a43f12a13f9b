#include "cp/service/console_access.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/id.h"

namespace ee::cp {
namespace {

constexpr std::string_view kType = "ee-console+jwt";

std::optional<std::string> text_or_nothing(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

bool may_have(ConsoleScope wanted, const AgentScope& scope, const AgentStanding& standing) {
  switch (wanted) {
    case ConsoleScope::stats:
    case ConsoleScope::status: return true;
    case ConsoleScope::logs: return scope.all || standing.tenant;
    case ConsoleScope::reattest: return scope.all;
  }
  return false;
}

Result<std::vector<ConsoleScope>> scopes_of(const ConsoleAccessRequest& wanted, const AgentScope& scope,
                                            const AgentStanding& standing) {
  std::vector<ConsoleScope> out;
  const std::vector<ConsoleScope> usual = {ConsoleScope::logs, ConsoleScope::stats, ConsoleScope::status};
  for (const ConsoleScope one : wanted.scopes ? *wanted.scopes : usual) {
    if (std::ranges::find(out, one) != out.end()) continue;
    if (may_have(one, scope, standing))
      out.push_back(one);
    else if (wanted.scopes)
      return fail(ErrorCode::scope_not_allowed, std::string(name_of(one)));
  }
  return out;
}

/// For whom the token is, as the agent's log shows it.
std::string subject_of(const Principal& caller, const AgentScope& scope, const AgentStanding& standing) {
  if (scope.all) return "admin:" + caller.session_id.value_or(SessionId()).str();
  const AgentRow& agent = standing.agent;
  if (agent.account_id && scope.acts_for(*agent.account_id)) return "account:" + agent.account_id->str();
  if (standing.tenant) return "account:" + standing.tenant->str();
  return "github:" + std::to_string(agent.github_owner_id.value_or(0));
}

Result<void> check_state(const AgentRow& agent) {
  const bool untrusted = agent.quarantine_reason == QuarantineReason::attestation_failed ||
                         agent.attestation_state == AttestationState::failed;
  if (agent.status != AgentStatus::deleting && !untrusted) return {};
  return fail(ErrorCode::invalid_agent_state, untrusted ? "its attestation has failed" : "it is being deleted");
}

boost::json::array names_of(const std::vector<ConsoleScope>& scopes) {
  boost::json::array out;
  for (const ConsoleScope scope : scopes) out.push_back(boost::json::value(name_of(scope)));
  return out;
}

}  // namespace

Result<ConsoleAccessAnswer> ConsoleAccess::issue(const Principal& caller, const AgentScope& scope, const AgentId& id,
                                                 const ConsoleAccessRequest& wanted, const Actor& actor) {
  const auto standing = parts_.database.read<AgentStanding>(
      [&](db::Transaction& tx) { return standing_of(tx, parts_.deployments, scope, id); });
  if (!standing) return std::unexpected(standing.error());
  const AgentRow& agent = standing->agent;
  if (auto good = check_state(agent); !good) return std::unexpected(good.error());
  const auto scopes = scopes_of(wanted, scope, *standing);
  if (!scopes) return std::unexpected(scopes.error());
  const ResolvedEndpoint endpoint = parts_.endpoint.resolve(agent);
  if (!endpoint) return fail(ErrorCode::agent_unreachable, std::string(name_of(*endpoint.reason)));

  const UtcTime now = parts_.clock.now();
  const auto token_id = new_uuid_v7(now, parts_.random);
  if (!token_id) return fail(ErrorCode::internal_error, "random number generator failed");
  const std::int64_t issued_at = unix_ms(now) / 1000;
  const std::int64_t expires_at = issued_at + wanted.ttl_seconds;
  const std::string subject = subject_of(caller, scope, *standing);
  boost::json::object claims{{"iss", parts_.public_url},   {"aud", id.str()},  {"sub", subject},
                             {"scope", names_of(*scopes)}, {"iat", issued_at}, {"nbf", issued_at},
                             {"exp", expires_at},          {"jti", *token_id}, {"rid", agent.registration_id.str()}};
  // Whatever somebody may see as a tenant ends with the deployment: the next one on this agent is another's.
  const bool has_logs = std::ranges::find(*scopes, ConsoleScope::logs) != scopes->end();
  if (!scope.all && standing->tenant && (has_logs || !standing->owns))
    claims["deployment_id"] = agent.current_deployment_id->str();

  const AuditEntry entry{
      .actor = actor.name,
      .action = "console_token_issued",
      .object_type = "agent",
      .object_id = id.str(),
      .request_id = text_or_nothing(actor.request_id),
      .client_address = text_or_nothing(actor.client_address),
      .detail = boost::json::serialize(boost::json::object{
          {"jti", *token_id}, {"sub", subject}, {"scopes", names_of(*scopes)}, {"ttl_seconds", wanted.ttl_seconds}})};
  const auto audited = parts_.database.write<std::string>(
      [&](db::Transaction& tx) { return audit_.append(tx, entry, now, parts_.random); });
  if (!audited) return std::unexpected(audited.error());
  ConsoleAccessAnswer answer{.agent_id = id.str(),
                             .base_url = endpoint.url + "/.easyenclave/v1",
                             .token = parts_.signing_keys.sign_token(kType, boost::json::serialize(claims)),
                             .scopes = *scopes,
                             .expires_at = from_unix_ms(expires_at * 1000),
                             .console_url = parts_.public_url + "/console/agents/" + id.str()};
  return answer;
}

}  // namespace ee::cp
