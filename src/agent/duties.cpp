#include "agent/duties.h"

#include "common/credential.h"
#include "common/json.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kFetchFirst = 1s;
constexpr Milliseconds kFetchMost = 60s;
constexpr Milliseconds kRefreshFirst = 5s;
constexpr Milliseconds kRefreshMost = 300s;
constexpr std::int64_t kReattestSpreadMs = 60'000;
constexpr std::int64_t kRotateSpreadMs = 600'000;
constexpr Milliseconds kBetweenRefreshRequests = 60s;

/// Whether the credential or the registration is no good any more: heartbeats see the same and act on it.
bool is_over(const CallFailure& failure) {
  return failure.status == 401 || failure.status == 404 || failure.status == 410 ||
         failure.is(ErrorCode::agent_attestation_failed) || failure.is(ErrorCode::agent_mismatch) ||
         failure.code == "cancelled";
}

ErrandResult after_failure(std::string_view errand, const CallFailure& failure) {
  log::warn("duties", "errand failed",
            {{"errand", errand}, {"code", failure.code}, {"status", failure.status}, {"detail", failure.detail}});
  return is_over(failure) ? ErrandResult::done() : ErrandResult::retry(failure.retry_after);
}

}  // namespace

Duties::Duties(Board& board, ControlPlaneClient& client, const InstanceKeys& keys, EvidenceMaker& evidence,
               StateFile& state, Hooks hooks, Clock& clock, Random& random)
    : board_(board),
      client_(client),
      keys_(keys),
      evidence_(evidence),
      state_(state),
      hooks_(std::move(hooks)),
      clock_(clock),
      random_(random),
      fetcher_(clock, random),
      refresher_(clock, random) {
  const Backoff fetching(kFetchFirst, kFetchMost);
  fetcher_.add(kTunnel, fetching, [this](const std::stop_token& stop) { return fetch_tunnel(stop); });
  fetcher_.add(kSigningKeys, fetching, [this](const std::stop_token& stop) { return fetch_signing_keys(stop); });
  fetcher_.add(kRotate, fetching, [this](const std::stop_token& stop) { return rotate(stop); });
  fetcher_.add(kTime, fetching, [this](const std::stop_token& stop) { return fetch_time(stop); });
  refresher_.add(kRefresh, Backoff(kRefreshFirst, kRefreshMost),
                 [this](const std::stop_token& stop) { return refresh(stop); });
}

SteadyTime Duties::steady_of(UtcTime at) const { return clock_.steady_now() + (at - board_.corrected_now()); }

// ---- what asks for errands -----------------------------------------------------------------------------------------

void Duties::registered(const Registration& registration) {
  fetcher_.cancel_all();
  refresher_.cancel_all();
  hooks_.set_tunnel_token(registration.tunnel_token);
  // The first refresh comes at a random point of the first interval, so that a fleet spreads out.
  if (const auto due = registration.answer.attestation_due_at) {
    const Milliseconds span = *due - board_.corrected_now();
    if (span.count() > 0) refresher_.request(kRefresh, in(Milliseconds(random_.between(0, span.count()))));
  }
}

void Duties::unregistered() {
  fetcher_.cancel_all();
  refresher_.cancel_all();
}

void Duties::answered(const Session& session, const agent_api::HeartbeatAnswer& answer) {
  if (answer.tunnel.version > session.tunnel_version && !fetcher_.due(kTunnel)) fetcher_.request(kTunnel, in(0ms));
  if (answer.signing_keys_version > session.signing_keys_version && !fetcher_.due(kSigningKeys))
    fetcher_.request(kSigningKeys, in(0ms));
  if (answer.rotate_credential && !fetcher_.due(kRotate))
    fetcher_.request(kRotate, in(Milliseconds(random_.between(0, kRotateSpreadMs))));
  if (board_.wants_signed_time() && !fetcher_.due(kTime)) fetcher_.request(kTime, in(0ms));
  if (answer.reattest_now) {
    // Asked again with every answer until it is done: one that is due soon stays as it is.
    const auto due = refresher_.due(kRefresh);
    if (!due || *due > in(Milliseconds(kReattestSpreadMs)))
      refresher_.request(kRefresh, in(Milliseconds(random_.between(0, kReattestSpreadMs))));
  }
}

bool Duties::refresh_now() {
  {
    const std::lock_guard lock(mutex_);
    const SteadyTime now = clock_.steady_now();
    if (refresh_asked_ && now - *refresh_asked_ < kBetweenRefreshRequests) return false;
    refresh_asked_ = now;
  }
  refresher_.request(kRefresh, in(0ms));
  return true;
}

// ---- tunnel --------------------------------------------------------------------------------------------------------

CallResult<std::optional<Secret>> Duties::tunnel_token_of(const Session& session, const std::stop_token& stop) {
  const AgentIdentity& self = session.identity;
  auto answer = client_.tunnel(self, stop);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (auto is_signed = check_body_signature(session.signers, "tunnel", self.agent_id, self.registration_id, *answer);
      !is_signed)
    return std::unexpected(std::move(is_signed.error()));
  const agent_api::TunnelAnswer& tunnel = answer->value;
  std::optional<Secret> token;
  if (tunnel.sealed) {
    const auto context = agent_api::tunnel_seal_context(self.agent_id, tunnel.version);
    const auto opened = open_sealed_value(*tunnel.sealed, context, keys_.sealing);
    if (!opened) {
      board_.fail_check("seal_refused", opened.error().code);
      return std::unexpected(opened.error());
    }
    board_.clear_check("seal_refused");
    auto secrets = json::read<agent_api::TunnelSecrets>(opened->reveal());
    if (!secrets) return std::unexpected(CallFailure{.code = "bad_answer", .detail = "the sealed value", .reason = {}});
    if (secrets->tunnel_token) token = Secret(std::move(*secrets->tunnel_token));
  }
  const bool current = board_.update_session(self.registration_id, [&](Session& next) {
    next.tunnel_state = tunnel.state;
    next.tunnel_version = tunnel.version;
    next.hostname = tunnel.hostname;
  });
  if (!current) return std::unexpected(CallFailure{.code = "cancelled", .detail = "registered anew", .reason = {}});
  if (tunnel.state != agent_api::TunnelState::ready) token.reset();
  return token;
}

ErrandResult Duties::fetch_tunnel(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  auto token = tunnel_token_of(*session, stop);
  if (!token) return after_failure(kTunnel, token.error());
  hooks_.set_tunnel_token(std::move(*token));
  return ErrandResult::done();
}

std::optional<Secret> Duties::fetch_tunnel_token() {
  const auto session = board_.session();
  if (!session) return std::nullopt;
  auto token = tunnel_token_of(*session, {});
  if (!token) {
    after_failure(kTunnel, token.error());
    return std::nullopt;
  }
  return std::move(*token);
}

// ---- the control plane's keys --------------------------------------------------------------------------------------

ErrandResult Duties::fetch_signing_keys(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  const AgentIdentity& self = session->identity;
  auto answer = client_.signing_keys(self, stop);
  if (!answer) return after_failure(kSigningKeys, answer.error());
  if (auto is_signed =
          check_body_signature(session->signers, "signing-keys", self.agent_id, self.registration_id, *answer);
      !is_signed) {
    board_.fail_check("cp_untrusted", is_signed.error().code);
    hooks_.keys_untrusted();
    return after_failure(kSigningKeys, is_signed.error());
  }
  // Signed, but once: whoever keeps a key that was retired must not bring it back with the set that it was in.
  if (answer->value.version < session->signing_keys_version)
    return after_failure(kSigningKeys,
                         CallFailure{.code = "bad_answer", .detail = "an older set of keys", .reason = {}});
  auto keys = SignerSet::from_wire(answer->value);
  if (!keys)
    return after_failure(kSigningKeys, CallFailure{.code = "bad_answer", .detail = keys.error().detail, .reason = {}});
  board_.clear_check("cp_untrusted");
  board_.update_session(self.registration_id, [&](Session& next) {
    next.signers = std::move(*keys);
    next.signing_keys_version = answer->value.version;
  });
  return ErrandResult::done();
}

// ---- credential ----------------------------------------------------------------------------------------------------

CallResult<Secret> Duties::rotated_credential(const Session& session, const std::stop_token& stop) {
  const AgentIdentity& self = session.identity;
  const UtcTime signed_at = board_.corrected_now();
  auto answer = client_.rotate(self, signed_at, keys_.signing, stop);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (auto is_signed =
          check_body_signature(session.signers, "credential", self.agent_id, self.registration_id, *answer);
      !is_signed)
    return std::unexpected(std::move(is_signed.error()));
  const auto context = agent_api::credential_seal_context(self.agent_id, self.registration_id, signed_at);
  const auto opened = open_sealed_value(answer->value.sealed, context, keys_.sealing);
  if (!opened) {
    board_.fail_check("seal_refused", opened.error().code);
    return std::unexpected(opened.error());
  }
  board_.clear_check("seal_refused");
  auto secrets = json::read<agent_api::RotatedSecrets>(opened->reveal());
  Secret credential(secrets ? std::move(secrets->agent_credential) : std::string());
  const auto parsed = parse_credential(credential.reveal());
  if (!parsed || parsed->kind != CredentialKind::agent)
    return std::unexpected(CallFailure{.code = "bad_answer", .detail = "the credential", .reason = {}});
  return credential;
}

ErrandResult Duties::rotate(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  auto credential = rotated_credential(*session, stop);
  if (!credential) return after_failure(kRotate, credential.error());
  const bool current = board_.update_session(session->identity.registration_id,
                                             [&](Session& next) { next.identity.credential = *credential; });
  if (!current) return ErrandResult::done();
  const auto saved = state_.update([&](AgentState& state) {
    if (state.registration_id == session->identity.registration_id) state.credential = credential->reveal();
  });
  if (!saved) log::error("duties", "the new credential cannot be saved", {{"detail", saved.error().detail}});
  log::info("duties", "credential rotated");
  return ErrandResult::done();
}

// ---- attestation ---------------------------------------------------------------------------------------------------

CallResult<agent_api::ChallengeAnswer> Duties::signed_challenge(const Session& session, const std::stop_token& stop) {
  ByteArray<32> client_nonce{};
  if (!random_.fill(client_nonce)) return refuse(ErrorCode::internal_error, "no random bytes");
  auto challenge = client_.refresh_challenge(session.identity, {.client_nonce = to_hex(client_nonce)}, stop);
  if (!challenge) return std::unexpected(std::move(challenge.error()));
  if (auto is_signed = check_challenge_signature(session.signers, client_nonce, *challenge); !is_signed)
    return std::unexpected(std::move(is_signed.error()));
  board_.note_signed_time(challenge->value.expires_at - Seconds(challenge->value.ttl_seconds));
  return std::move(challenge->value);
}

ErrandResult Duties::fetch_time(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  if (const auto told = signed_challenge(*session, stop); !told) return after_failure(kTime, told.error());
  return ErrandResult::done();
}

CallResult<agent_api::RefreshAnswer> Duties::refreshed(const Session& session, const std::stop_token& stop) {
  const auto challenge = signed_challenge(session, stop);
  if (!challenge) return std::unexpected(challenge.error());
  if (auto fits = evidence_.check(*challenge, "refresh"); !fits) return std::unexpected(std::move(fits.error()));
  auto evidence = evidence_.make(*challenge, attestation::Purpose::refresh, stop);
  if (!evidence) return std::unexpected(std::move(evidence.error()));
  const agent_api::RefreshRequest request{
      .challenge = challenge->challenge, .nonce = challenge->nonce, .evidence = std::move(*evidence)};
  return client_.refresh(session.identity, request, challenge->challenge_id, keys_.signing, stop);
}

ErrandResult Duties::refresh(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  const auto answer = refreshed(*session, stop);
  if (!answer) {
    board_.fail_check("attestation_refresh", answer.error().code);
    return after_failure(kRefresh, answer.error());
  }
  board_.clear_check("attestation_refresh");
  board_.note_attested(answer->attested_at);
  log::info("duties", "attestation refreshed", {{"tcb_status", answer->tcb_status}});
  if (!answer->attestation_due_at) return ErrandResult::done();
  return ErrandResult::again_at(std::max(steady_of(*answer->attestation_due_at), in(kBetweenRefreshRequests)));
}

}  // namespace ee::agent
