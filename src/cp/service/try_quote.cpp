// A quote judged step by step for an administrator, without nonce and without effect.
#include <boost/json/value.hpp>
#include "attestation/event_log.h"

#include "attestation/validate/policy.h"
#include "common/deadline_stop.h"
#include "cp/service/attestation_admin.h"
#include "cp/service/evidence_logs.h"

namespace ee::cp {
namespace {

namespace att = attestation;

/// Gathers what each step found. A step goes on after another refused, as long as it has what it needs.
class Trial {
 public:
  Trial(const att::PolicySnapshot& policy, const att::TrustStore& trust) : policy_(policy), trust_(trust) {}

  TriedStep& add(std::string name) {
    return out_.steps.emplace_back(TriedStep{.step = std::move(name),
                                             .result = TriedResult::skipped,
                                             .reason_code = {},
                                             .warnings = {},
                                             .details = nullptr});
  }
  static void settle(TriedStep& step, std::optional<ErrorCode> reason) {
    step.result = reason ? TriedResult::refused : TriedResult::passed;
    if (reason) step.reason_code = std::string(slug(*reason));
  }
  static void settle(TriedStep& step, const att::Verdict& verdict) {
    settle(step, verdict.reason);
    for (const att::Warning warning : verdict.warnings) step.warnings.emplace_back(att::to_string(warning));
  }
  template <class T>
  static std::optional<ErrorCode> reason_of(const Result<T>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
  }

  void describe(const att::Quote& quote) {
    out_.mrtd = to_hex(quote.mrtd());
    for (std::size_t i = 0; i < 4; ++i) out_.rtmrs.push_back(to_hex(quote.rtmr(i)));
  }
  void describe(const att::DcapResult& result) {
    out_.tcb_status = std::string(att::to_string(result.status));
    out_.advisory_ids = result.advisories;
    out_.fmspc = result.fmspc;
  }

  /// Registers; answers the profile that the log is to be compared with.
  std::optional<std::string> check_rtmrs(const att::Facts& facts) {
    TriedStep& step = add("rtmr");
    const att::RtmrVerdict verdict = att::check_rtmrs(facts, policy_, trust_);
    settle(step, verdict);
    if (verdict.profile) {
      out_.rtmr_profile = verdict.profile->name;
      return verdict.profile->id;
    }
    if (!verdict.mismatch) return std::nullopt;
    if (auto details = json::parse(att::details_json(*verdict.mismatch))) step.details = std::move(*details);
    return verdict.mismatch->profile_id;
  }

  TriedQuote finish() {
    out_.accepted = true;
    for (const TriedStep& step : out_.steps) out_.accepted = out_.accepted && step.result == TriedResult::passed;
    return std::move(out_);
  }

 private:
  const att::PolicySnapshot& policy_;
  const att::TrustStore& trust_;
  TriedQuote out_;
};

}  // namespace

Result<TriedQuote> AttestationAdmin::try_quote(const TryQuoteRequest& wanted, const std::stop_token& stop) const {
  const auto policy = parts_.policy();
  if (!policy) return std::unexpected(policy.error());
  const auto trust = parts_.trust.effective();
  if (!trust) return std::unexpected(trust.error());
  const VerificationLimits limits = parts_.limits();
  Trial trial(*policy, trust->trust);
  const UtcTime now = parts_.clock.now();

  const auto quote = att::parse_quote_base64(wanted.quote, att::TrailingPolicy::zeros, limits.quote_max_bytes);
  auto readable = Trial::reason_of(quote);
  if (quote) {
    trial.describe(*quote);
    readable = Trial::reason_of(att::check_emulation(
        *quote, policy->emulation_allowed.get() ? att::EmulatedQuotes::allow : att::EmulatedQuotes::refuse));
  }
  Trial::settle(trial.add("quote"), readable);
  if (!quote) {
    for (const char* step : {"td_attributes", "dcap", "mrtd", "tcb", "rtmr", "event_log"}) trial.add(step);
    return trial.finish();
  }

  att::Facts facts = att::facts_of(*quote, now, att::MrtdKind::agent, wanted.node_size.value_or(""));
  Trial::settle(trial.add("td_attributes"), att::check_td_attributes(facts, *policy));

  const DeadlineStop deadline(parts_.clock, parts_.clock.steady_now() + limits.deadline, stop);
  const auto genuine =
      parts_.dcap.verify(*quote, parts_.collateral,
                         att::TrustAnchors{.allow_emulator = policy->emulation_allowed.get()}, now, deadline.token());
  Trial::settle(trial.add("dcap"), Trial::reason_of(genuine));
  if (genuine) {
    trial.describe(*genuine);
    facts.tcb_status = genuine->status;
    facts.advisories = genuine->advisories;
  }
  Trial::settle(trial.add("mrtd"), att::check_mrtd(facts, trust->trust));
  TriedStep& tcb = trial.add("tcb");
  if (genuine) Trial::settle(tcb, att::check_tcb(facts, *policy));
  const auto profile = trial.check_rtmrs(facts);

  TriedStep& step = trial.add("event_log");
  const auto log = replay_sent_log(wanted.event_log, policy->event_log_mode.get());
  if (!log || !*log) {
    Trial::settle(step, Trial::reason_of(log));
    return trial.finish();
  }
  const auto fits = att::check_event_log(**log, *quote);
  Trial::settle(step, Trial::reason_of(fits));
  boost::json::object details;
  if (!fits) details["register"] = fits.error().detail;
  if (profile) {
    const auto changed = parts_.database.read<std::optional<std::string>>(
        [&](db::Transaction& tx) { return changed_events_json(tx, **log, *profile); });
    if (!changed) return std::unexpected(changed.error());
    if (*changed)
      if (auto events = json::parse(**changed)) details["changed_events"] = std::move(*events);
  }
  if (!details.empty()) step.details = std::move(details);
  return trial.finish();
}

}  // namespace ee::cp
