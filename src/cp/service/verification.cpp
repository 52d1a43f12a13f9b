#include "cp/service/verification.h"

#include <chrono>
#include <exception>
#include <future>
#include <utility>

#include "common/deadline_stop.h"
#include "common/ed25519.h"
#include "common/json.h"
#include "common/log.h"
#include "common/signatures.h"
#include "cp/service/verification_inputs.h"

namespace ee::cp {
namespace {

namespace att = attestation;

/// How long a request waits for one of the verification slots.
constexpr Milliseconds kSlotWait{2000};

}  // namespace

/// One run of the pipeline: each step is a member, in the order of 01 section 8.
class EvidenceVerifier::Run {
 public:
  Run(const Parts& parts, const VerificationLimits& limits, const EvidenceClaim& claim,
      const EvidenceTransport& transport, ByteVector signature, AttestationAttempt& attempt)
      : parts_(parts),
        limits_(limits),
        claim_(claim),
        transport_(transport),
        signature_(std::move(signature)),
        attempt_(attempt),
        deadline_(parts.clock.steady_now() + limits.deadline) {}

  /// What comes in front of the wait for a slot: the policy, and with it the rest of step 1, so that every attempt that
  /// is refused later has passed step 1 and leaves its row.
  Result<void> prepare() {
    begin(VerificationStep::policy);
    if (is_late()) return fail(ErrorCode::verifier_timeout);
    auto policy = parts_.policy();
    if (!policy) return std::unexpected(std::move(policy.error()));
    std::string json = att::to_json(*policy, std::nullopt);
    return take(std::move(*policy), std::move(json));
  }

  /// Steps 2 and 3.
  Result<void> check_form_only(const KnownPolicy& known) {
    if (auto taken = take(known.policy, known.json); !taken) return taken;
    return parse();
  }

  Result<AcceptedEvidence> run() {
    using enum VerificationStep;
    using Step = Result<void> (Run::*)();
    constexpr std::pair<VerificationStep, Step> steps[] = {
        {quote, &Run::parse},
        {challenge, &Run::check_challenge},
        {nonce, &Run::consume_nonce},
        {report_data, &Run::check_report_data},
        {td_attributes, &Run::check_td_attributes},
        {verifiers, &Run::run_verifiers},
        {mrtd, &Run::judge},
        {event_log, &Run::check_logs},
        {unchanged, &Run::check_unchanged_since},
    };
    for (const auto& [step, function] : steps) {
      begin(step);
      if (is_late()) return fail(ErrorCode::verifier_timeout);
      const SteadyTime begun = parts_.clock.steady_now();
      auto done = (this->*function)();
      attempt_.steps.push_back({.name = name_of(step), .took = parts_.clock.steady_now() - begun});
      if (!done) return std::unexpected(std::move(done.error()));
    }
    if (is_late()) return fail(ErrorCode::verifier_timeout);
    finish();
    return AcceptedEvidence{
        .quote = std::move(*quote_),
        .preimage = std::move(preimage_),
        .challenge_id = challenge_.id,
        .kind = emulated_ ? "emulated" : std::string(boost::describe::enum_to_string(claim_.evidence.kind, "")),
        .policy = *policy_,
        .decision = std::move(decision_),
        .tcb_status = facts_->tcb_status,
        .advisories = facts_->advisories,
        .fmspc = attempt_.fmspc.value_or("")};
  }

 private:
  UtcTime now() const { return parts_.clock.now(); }
  void begin(VerificationStep step) const {
    if (parts_.before_step) parts_.before_step(step);
  }
  bool is_late() const { return parts_.clock.steady_now() >= deadline_; }

  Result<void> take(att::PolicySnapshot policy, std::string json) {
    policy_.emplace(std::move(policy));
    attempt_.verifier_mode = boost::describe::enum_to_string(policy_->verifier_mode.get(), "");
    attempt_.policy_snapshot = std::move(json);
    return check_form();
  }

  /// The rest of step 1, which needs the policy: a request that does not answer the challenge leaves no row.
  Result<void> check_form() {
    auto fits = check_evidence_kind(claim_.evidence, *policy_);
    if (!fits) attempt_.audited = false;
    return fits;
  }

  Result<void> parse() {
    auto quote = att::parse_quote_base64(*claim_.evidence.quote, att::TrailingPolicy::zeros, limits_.quote_max_bytes);
    if (!quote) return std::unexpected(quote.error());
    quote_.emplace(std::move(*quote));
    emulated_ = quote_->is_emulated();
    describe_quote(*quote_, attempt_);
    return att::check_emulation(
        *quote_, policy_->emulation_allowed.get() ? att::EmulatedQuotes::allow : att::EmulatedQuotes::refuse);
  }

  Result<void> check_challenge() {
    if (auto good = read_challenge(); !good) {
      observe_nonce(good.error().code);
      return good;
    }
    return check_request_signature();
  }

  Result<void> read_challenge() {
    auto challenge = decode_challenge(*claim_.challenge, *claim_.nonce, parts_.challenges.keys(), now());
    if (!challenge) return std::unexpected(challenge.error());
    challenge_ = std::move(*challenge);
    attempt_.nonce_id = nonce_id(challenge_.nonce);
    if (auto time = check_challenge_time(challenge_, now(), parts_.restored_at()); !time) return time;
    const ChallengeContext context{.purpose = static_cast<std::uint8_t>(claim_.purpose),
                                   .vm_name = claim_.vm_name,
                                   .agent_id = claim_.agent_id,
                                   .audience = parts_.challenges.audience()};
    return check_challenge_context(challenge_, context);
  }

  void observe_nonce(std::optional<ErrorCode> refused) const {
    if (parts_.observe_nonce) parts_.observe_nonce(refused);
  }

  Result<void> check_request_signature() {
    const ByteVector input =
        request_signature_input(transport_.method, transport_.path, challenge_.id, bytes_of(transport_.body));
    if (!ed25519_verify(claim_.signing_key, input, signature_)) return fail(ErrorCode::pop_signature_invalid);
    attempt_.request_signed = true;
    return {};
  }

  Result<void> consume_nonce() {
    const NonceUse use{.nonce_hash = nonce_hash(challenge_.nonce),
                       .purpose = std::string(att::to_string(claim_.purpose)),
                       .vm_name = claim_.vm_name,
                       .agent_id = claim_.agent_id.empty() ? std::nullopt : std::optional(claim_.agent_id),
                       .expires_at = challenge_.expires_at,
                       .consumed_at = now(),
                       .consumed_by = transport_.request_id};
    const auto consumed = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      auto fresh = NonceStore().consume(tx, use);
      if (!fresh) return fresh;
      if (!*fresh) return fail(ErrorCode::nonce_replayed);
      return true;
    });
    if (consumed)
      observe_nonce(std::nullopt);
    else if (consumed.error().code == ErrorCode::nonce_replayed)
      observe_nonce(ErrorCode::nonce_replayed);
    if (!consumed) return std::unexpected(consumed.error());
    return {};
  }

  Result<void> check_report_data() {
    binding_ = att::agent_binding(claim_.signing_key, claim_.sealing_key, claim_.vm_name);
    auto expected = att::build_report_data(claim_.purpose, challenge_.nonce, binding_, parts_.challenges.audience());
    if (!constant_time_equal(expected.value, quote_->report_data())) return fail(ErrorCode::report_data_mismatch);
    preimage_ = std::move(expected.preimage);
    return {};
  }

  Result<void> check_td_attributes() {
    facts_.emplace(att::facts_of(*quote_, now(), att::MrtdKind::agent, claim_.node_size));
    if (const auto verdict = att::check_td_attributes(*facts_, *policy_); verdict.reason) return fail(*verdict.reason);
    return {};
  }

  Result<void> run_verifiers() {
    const att::VerifierMode mode = policy_->verifier_mode.get();
    const DeadlineStop deadline(parts_.clock, deadline_, transport_.stop);
    const std::stop_token stop = deadline.token();
    std::optional<Result<att::VerifierVerdict>> ita;
    std::optional<Result<att::VerifierVerdict>> dcap;
    // The token's verifier waits for the network, the other mostly for the processor: side by side.
    std::future<Result<att::VerifierVerdict>> asked;
    if (mode == att::VerifierMode::both)
      asked = std::async(std::launch::async, [this, &stop] { return by_token(stop); });
    else if (mode == att::VerifierMode::ita)
      ita.emplace(by_token(stop));
    if (mode != att::VerifierMode::ita) dcap.emplace(by_dcap(stop));
    if (asked.valid()) ita.emplace(asked.get());
    auto combined = att::combine_verdicts(mode, std::move(ita), std::move(dcap));
    if (!combined.verdict) {
      attempt_.other_reason = combined.other_reason;
      if (combined.other_reason)
        attempt_.details = R"({"other_reason":")" + std::string(slug(*combined.other_reason)) + "\"}";
      return std::unexpected(combined.verdict.error());
    }
    attempt_.quote_verified = true;
    facts_->tcb_status = combined.verdict->status;
    facts_->advisories = combined.verdict->advisories;
    facts_->jwks_stale = jwks_stale_;
    facts_->collateral_next_update = collateral_next_update_;
    attempt_.tcb_status = std::string(att::to_string(combined.verdict->status));
    attempt_.advisory_ids = combined.verdict->advisories;
    if (dcap_fmspc_) attempt_.fmspc = dcap_fmspc_;
    if (token_sha256_) attempt_.ita_token_sha256 = token_sha256_;
    return {};
  }

  /// What failed because the time is over says nothing else, whichever code the interrupted call came back with.
  std::unexpected<Error> refusal_of(Error error) const {
    if (is_late()) return fail(ErrorCode::verifier_timeout);
    return std::unexpected(std::move(error));
  }

  Result<att::VerifierVerdict> by_dcap(const std::stop_token& stop) {
    const att::TrustAnchors anchors{.allow_emulator = policy_->emulation_allowed.get()};
    auto result = parts_.dcap.verify(*quote_, parts_.collateral, anchors, now(), stop);
    if (!result) return refusal_of(std::move(result.error()));
    dcap_fmspc_ = result->fmspc;
    collateral_next_update_ = result->collateral_next_update;
    return att::VerifierVerdict{.status = result->status, .advisories = result->advisories};
  }

  Result<att::VerifierVerdict> by_token(const std::stop_token& stop) {
    auto verdict = parts_.token({.quote = *quote_,
                                 .preimage = preimage_,
                                 .agent_token = claim_.evidence.intel_ta_token,
                                 .request_id = transport_.request_id,
                                 .stop = stop});
    if (!verdict) return refusal_of(std::move(verdict.error()));
    token_sha256_ = verdict->token_sha256;
    jwks_stale_ = verdict->jwks_stale;
    return verdict->tcb;
  }

  /// MRTD, TCB, RTMR, by what is trusted at this moment: no cache, so that a removal acts at once.
  Result<void> judge() {
    auto trust = parts_.trust.effective();
    if (!trust) return std::unexpected(trust.error());
    decision_ = att::evaluate_policy(*facts_, *policy_, trust->trust);
    if (decision_.rtmr_mismatch) attempt_.details = mismatch_details();
    if (decision_.reason) return fail(*decision_.reason);
    return {};
  }

  /// Which registers differ, and, when the event log that came along is good, which of its events are new: so an
  /// operator sees what changed.
  std::string mismatch_details() const {
    std::string details = att::details_json(*decision_.rtmr_mismatch);
    const auto log = replay_sent_log(claim_.evidence.event_log, policy_->event_log_mode.get());
    if (!log || !*log || !att::check_event_log(**log, *quote_)) return details;
    details.pop_back();
    return details + changed_events(**log) + "}";
  }

  /// `,"changed_events":[..]` against the log of the profile that matched or was nearest. What cannot be found out is
  /// left out.
  std::string changed_events(const att::EventLog& log) const {
    std::string profile;
    if (decision_.rtmr_profile) profile = decision_.rtmr_profile->id;
    if (decision_.rtmr_mismatch) profile = decision_.rtmr_mismatch->profile_id;
    if (profile.empty()) return "";
    const auto changed = parts_.database.read<std::optional<std::string>>(
        [&](db::Transaction& tx) { return changed_events_json(tx, log, profile); });
    return changed && *changed ? R"(,"changed_events":)" + **changed : "";
  }

  Result<void> check_logs() {
    const auto log = replay_sent_log(claim_.evidence.event_log, policy_->event_log_mode.get());
    if (!log) return std::unexpected(log.error());
    if (*log) {
      if (auto fits = att::check_event_log(**log, *quote_); !fits) {
        attempt_.details = R"({"register":)" + json::quote(fits.error().detail) + changed_events(**log) + "}";
        return fits;
      }
    }
    WorkloadLogContext context{.vm_name = claim_.vm_name};
    if (claim_.before)
      context.accepted_rtmr3 = claim_.before->rtmrs[3];
    else if (parts_.forgotten_before)
      context.forgotten_before = parts_.forgotten_before();
    const auto forgotten =
        check_workload_log(parts_.database, parts_.assignments, claim_.evidence.workload_log, context, *quote_);
    if (!forgotten) return std::unexpected(forgotten.error());
    if (*forgotten > 0) attempt_.details = R"({"forgotten_workloads":)" + std::to_string(*forgotten) + "}";
    return {};
  }

  Result<void> check_unchanged_since() {
    if (!claim_.before) return {};
    auto same = check_unchanged(*quote_, binding_, claim_.evidence.workload_log.has_value(), *claim_.before);
    if (!same) attempt_.details = R"({"changed":)" + json::quote(same.error().detail) + "}";
    return same;
  }

  void finish() {
    const auto profile = decision_.rtmr_profile ? std::optional(decision_.rtmr_profile->id) : std::nullopt;
    attempt_.policy_snapshot = att::to_json(*policy_, profile);
    for (const att::Warning warning : decision_.warnings) attempt_.warnings.emplace_back(att::to_string(warning));
  }

  const Parts& parts_;
  const VerificationLimits& limits_;
  const EvidenceClaim& claim_;
  const EvidenceTransport& transport_;
  const ByteVector signature_;
  AttestationAttempt& attempt_;
  SteadyTime deadline_;
  std::optional<att::PolicySnapshot> policy_;
  std::optional<att::Quote> quote_;
  bool emulated_ = false;
  Challenge challenge_;
  ByteArray<32> binding_{};
  ByteVector preimage_;
  std::optional<att::Facts> facts_;
  std::optional<std::string> dcap_fmspc_;
  std::optional<UtcTime> collateral_next_update_;
  std::optional<std::string> token_sha256_;
  bool jwks_stale_ = false;
  att::Decision decision_;
};

Result<void> EvidenceVerifier::take_slot(const VerificationLimits& limits, const std::stop_token& stop) {
  std::unique_lock lock(slots_mutex_);
  const bool got =
      slot_free_.wait_for(lock, stop, kSlotWait, [&] { return in_flight_.load() < limits.max_concurrency; });
  if (!got) return fail(Error{.code = ErrorCode::verifier_busy, .retry_after = Seconds(5)});
  ++in_flight_;
  return {};
}

std::optional<Error> EvidenceVerifier::refuse_form(const EvidenceClaim& claim, const EvidenceTransport& transport,
                                                   AttestationAttempt& attempt) const {
  auto signature = check_complete(claim, transport);
  if (!signature) return std::move(signature.error());
  const auto policy = parts_.known_policy ? parts_.known_policy() : nullptr;
  if (!policy) return std::nullopt;
  const VerificationLimits limits = parts_.limits();
  attempt.audited = true;
  try {
    Run attempted(parts_, limits, claim, transport, std::move(*signature), attempt);
    if (auto fits = attempted.check_form_only(*policy); !fits) return std::move(fits.error());
  } catch (const std::exception&) {
    return std::nullopt;  // whoever runs the whole pipeline finds out
  }
  return std::nullopt;
}

Result<AcceptedEvidence> EvidenceVerifier::verify(const EvidenceClaim& claim, const EvidenceTransport& transport,
                                                  AttestationAttempt& attempt) {
  auto signature = check_complete(claim, transport);
  if (!signature) return std::unexpected(std::move(signature.error()));
  const VerificationLimits limits = parts_.limits();
  attempt.audited = true;
  try {
    Run attempted(parts_, limits, claim, transport, std::move(*signature), attempt);
    return run(attempted, limits, transport.stop);
  } catch (const std::exception& thrown) {
    log::error("verification", "a step threw", {{"what", thrown.what()}});
    return fail(ErrorCode::internal_verification_error);
  } catch (...) {
    return fail(ErrorCode::internal_verification_error);
  }
}

/// Holds one of the slots that `take_slot` gave.
class EvidenceVerifier::Slot {
 public:
  explicit Slot(EvidenceVerifier& verifier) : verifier_(verifier) {}
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() {
    {
      const std::lock_guard lock(verifier_.slots_mutex_);
      --verifier_.in_flight_;
    }
    verifier_.slot_free_.notify_one();
  }

 private:
  EvidenceVerifier& verifier_;
};

Result<AcceptedEvidence> EvidenceVerifier::run(Run& run, const VerificationLimits& limits,
                                               const std::stop_token& stop) {
  if (auto prepared = run.prepare(); !prepared) return std::unexpected(std::move(prepared.error()));
  if (auto slot = take_slot(limits, stop); !slot) return std::unexpected(std::move(slot.error()));
  const Slot held(*this);
  return run.run();
}

}  // namespace ee::cp
