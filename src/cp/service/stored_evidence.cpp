#include "cp/service/stored_evidence.h"

#include <boost/json/value.hpp>
#include "common/crypto.h"
#include "common/json.h"

namespace ee::cp {
namespace {

namespace att = attestation;

/// The setting's upper bound: a row may be older than the setting's present value.
constexpr std::size_t kMaxStoredQuote = 65536;

std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::internal_error, "agent_evidence: damaged " + std::string(what));
}

Result<std::vector<std::string>> texts_of(const std::string& array) {
  const auto parsed = json::parse(array);
  if (!parsed || !parsed->is_array()) return damaged("advisory_ids");
  std::vector<std::string> out;
  for (const auto& element : parsed->get_array()) {
    if (!element.is_string()) return damaged("advisory_ids");
    out.emplace_back(element.get_string());
  }
  return out;
}

}  // namespace

Result<att::Decision> judge_stored(const EvidenceRow& row, const att::PolicySnapshot& policy,
                                   const att::TrustStore& trust, UtcTime now) {
  const auto quote = att::parse_quote_base64(row.quote, att::TrailingPolicy::zeros, kMaxStoredQuote);
  if (!quote) return damaged("quote");
  const auto status = att::tcb_status_of(row.tcb_status);
  if (!status) return damaged("tcb_status");
  auto advisories = texts_of(row.advisory_ids);
  if (!advisories) return std::unexpected(std::move(advisories.error()));
  att::Facts facts = att::facts_of(*quote, now, att::MrtdKind::agent, row.node_size);
  facts.tcb_status = *status;
  facts.advisories = std::move(*advisories);
  return att::evaluate_policy(facts, policy, trust);
}

AttestationAttempt attempt_of(const EvidenceRow& row, const std::string& vm_name, const att::PolicySnapshot& policy) {
  AttestationAttempt attempt{.audited = true,
                             .purpose = "refresh",
                             .request_id = {},
                             .source_ip = {},
                             .vm_name = vm_name,
                             .agent_id = row.agent_id.str(),
                             .node_size = row.node_size,
                             .quote_verified = true,
                             .mrtd = row.mrtd,
                             .rtmrs = {row.rtmr0, row.rtmr1, row.rtmr2, row.rtmr3},
                             .td_attributes = row.td_attributes,
                             .tcb_status = row.tcb_status,
                             .fmspc = row.fmspc,
                             .verifier_mode = row.verifier_mode,
                             .policy_snapshot = att::to_json(policy, std::nullopt)};
  if (const auto quote = from_base64(row.quote)) attempt.quote_sha256 = to_hex(sha256(*quote));
  if (auto advisories = texts_of(row.advisory_ids)) attempt.advisory_ids = std::move(*advisories);
  return attempt;
}

}  // namespace ee::cp
