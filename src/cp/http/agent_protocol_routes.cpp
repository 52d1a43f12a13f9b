#include "cp/http/agent_protocol_routes.h"

#include "common/json.h"
#include "cp/http/answers.h"
#include "cp/http/api.h"

namespace ee::cp {
namespace {

using agent_api::ChallengeRequest;
using agent_api::HeartbeatRequest;
using agent_api::RefreshChallengeRequest;
using agent_api::RefreshRequest;
using agent_api::RegisterRequest;

constexpr std::size_t kRegisterMaxBytes = 1024UL * 1024;
constexpr std::size_t kFormCheckedMaxBytes = 64UL * 1024;  ///< on the io thread
constexpr std::size_t kMaxRegistrationsInWork = 512;
constexpr std::size_t kHeartbeatMaxBytes = 16UL * 1024;
/// Longer than the longest verification (120 s), the wait for its turn and the tunnel's 8 s.
constexpr Seconds kRegistrationTimeout{135};

net::Response signed_answer(int status, std::string body, const BodySignature& signature) {
  net::Response response = json_text(status, std::move(body));
  response.headers.push_back({"X-EE-Kid", signature.kid});
  response.headers.push_back({"X-EE-Signature", signature.signature});
  response.sensitive = true;
  return response;
}

net::Response post_challenge(AgentProtocolRoutes& context, const Call& call) {
  const auto wanted = json::read<ChallengeRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  auto issued = context.challenges.issue(static_cast<std::uint8_t>(attestation::Purpose::register_), wanted->vm_name,
                                         "", wanted->client_nonce, context.challenge_policy());
  if (!issued) return error_answer(issued.error(), call.request.request_id);
  if (context.challenge_issued) context.challenge_issued("register");
  return signed_answer(200, std::move(issued->body), issued->signature);
}

EvidenceTransport transport_of(const net::Request& request) {
  return {.method = request.method,
          .path = request.path,
          .body = request.body,
          .signature = request.header("X-EE-Agent-Signature"),
          .source_ip = request.client_address,
          .request_id = request.request_id,
          .stop = request.stop};
}

net::Response post_register(AgentProtocolRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto wanted = json::read<RegisterRequest>(request.body);
  if (!wanted) return error_answer(wanted.error(), request.request_id);
  auto registered = context.registration.register_agent(*wanted, transport_of(request));
  if (!registered) return error_answer(registered.error(), request.request_id);
  return signed_answer(registered->status, std::move(registered->body), registered->signature);
}

/// On the io thread: what is refused for its form alone, so that garbage costs as little as it can. A body that is long
/// to read is a worker's in any case.
std::optional<net::Response> fast_refusal(AgentProtocolRoutes& context, const net::Request& request) {
  if (request.body.size() > kFormCheckedMaxBytes || !check_media_types(request, true)) return std::nullopt;
  const auto wanted = json::read<RegisterRequest>(request.body);
  if (!wanted) return error_answer(wanted.error(), request.request_id);
  const auto refused = context.registration.refuse_form(*wanted, transport_of(request));
  if (!refused) return std::nullopt;
  return error_answer(*refused, request.request_id);
}

net::Response post_refresh_challenge(AgentProtocolRoutes& context, const Call& call) {
  const auto wanted = json::read<RefreshChallengeRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  auto issued = context.refresh.challenge(*call.principal.agent_id, wanted->client_nonce, context.challenge_policy());
  if (!issued) return error_answer(issued.error(), call.request.request_id);
  if (context.challenge_issued) context.challenge_issued("refresh");
  return signed_answer(200, std::move(issued->body), issued->signature);
}

net::Response post_refresh(AgentProtocolRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto wanted = json::read<RefreshRequest>(request.body);
  if (!wanted) return error_answer(wanted.error(), request.request_id);
  return answer_of(context.refresh.refresh(*call.principal.agent_id, *wanted, transport_of(request)), 200,
                   request.request_id);
}

/// The beat of an agent that is known: what both the io thread and a worker do.
net::Response answer_heartbeat(AgentProtocolRoutes& context, const net::Request& request, const Principal& principal,
                               const HeartbeatRequest& beat) {
  const HeartbeatCaller caller{.agent = *principal.agent_id, .credential_created_at = principal.credential_created_at};
  const auto answer = context.heartbeats.heartbeat(caller, beat, context.clock.now());
  net::Response response = answer_of(answer, 200, request.request_id);
  response.principal = principal.actor();
  return response;
}

net::Response post_heartbeat(AgentProtocolRoutes& context, const Call& call) {
  const auto beat = json::read<HeartbeatRequest>(call.request.body);
  if (!beat) return error_answer(beat.error(), call.request.request_id);
  return answer_heartbeat(context, call.request, call.principal, *beat);
}

/// On the io thread: only what cannot block. The credential is in the cache, and the beat changes nothing that the
/// database must know; everything else is a worker's.
std::optional<net::Response> fast_heartbeat(AgentProtocolRoutes& context, const net::Request& request) {
  const auto principal = context.authenticator.authenticate_cached_agent(credentials_of(request));
  if (!principal || principal->agent_id->str() != request.param("agent_id")) return std::nullopt;
  if (!check_media_types(request, true)) return std::nullopt;
  const auto beat = json::read<HeartbeatRequest>(request.body);
  if (!beat || !context.heartbeats.is_quiet(*principal->agent_id, *beat)) return std::nullopt;
  if (const auto refused = context.limits.take(RateClass::agent, principal->actor()))
    return rate_limited_answer(*refused, request.request_id);
  return answer_heartbeat(context, request, *principal, *beat);
}

net::Response answer_signed(Result<SignedBody> answer, const net::Request& request) {
  if (!answer) return error_answer(answer.error(), request.request_id);
  return signed_answer(200, std::move(answer->body), answer->signature);
}

net::Response get_tunnel(AgentProtocolRoutes& context, const Call& call) {
  return answer_signed(context.channel.tunnel(*call.principal.agent_id), call.request);
}

net::Response get_signing_keys(AgentProtocolRoutes& context, const Call& call) {
  return answer_signed(context.channel.signing_keys(*call.principal.agent_id), call.request);
}

net::Response post_rotate(AgentProtocolRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto wanted = json::read<agent_api::RotateRequest>(request.body);
  if (!wanted) return error_answer(wanted.error(), request.request_id);
  return answer_signed(context.rotation.rotate(*call.principal.agent_id, *wanted, transport_of(request)), request);
}

Handler bound(net::Response (*handler)(AgentProtocolRoutes&, const Call&), AgentProtocolRoutes& context) {
  return [handler, &context](const Call& call) { return handler(context, call); };
}

}  // namespace

void add_agent_protocol_routes(std::vector<Route>& table, AgentProtocolRoutes& context) {
  using namespace agent_api;
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/challenge",
                   .access = Access::open,
                   .rate = RateClass::challenge,
                   .handle = bound(post_challenge, context),
                   .doc = {.summary = "A nonce to make a quote over, for a registration.",
                           .tag = "agents",
                           .request = request_schema<ChallengeRequest>(),
                           .answers = {{200, "The challenge, signed.", answer_schema<ChallengeAnswer>()}}},
                   .max_body_bytes = 4096});
  table.push_back(
      {.method = "POST",
       .pattern = "/api/v1/agents/register",
       .access = Access::open,
       .rate = RateClass::registration,
       .handle = bound(post_register, context),
       .doc = {.summary = "Registers an agent whose evidence is accepted.",
               .tag = "agents",
               .request = request_schema<RegisterRequest>(),
               .answers = {{201, "A new agent; secrets sealed, answer signed.", answer_schema<RegisterAnswer>()},
                           {200, "The agent was known: registered again.", answer_schema<RegisterAnswer>()}}},
       .fast = [&context](const net::Request& request) { return fast_refusal(context, request); },
       .max_body_bytes = kRegisterMaxBytes,
       .outside = true,
       .bound = std::make_shared<net::WorkBound>(kMaxRegistrationsInWork, Seconds(5), Seconds(30)),
       .timeout = kRegistrationTimeout});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/attestation/challenge",
                   .access = Access::own_agent,
                   .rate = RateClass::challenge,
                   .handle = bound(post_refresh_challenge, context),
                   .doc = {.summary = "A nonce to make a quote over, for a refresh.",
                           .tag = "agents",
                           .request = request_schema<agent_api::RefreshChallengeRequest>(),
                           .answers = {{200, "The challenge, signed.", answer_schema<ChallengeAnswer>()}}},
                   .max_body_bytes = 4096});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/attestation",
                   .access = Access::own_agent,
                   .rate = RateClass::registration,
                   .handle = bound(post_refresh, context),
                   .doc = {.summary = "Fresh evidence; what it is refused for ends the agent's trust.",
                           .tag = "agents",
                           .request = request_schema<agent_api::RefreshRequest>(),
                           .answers = {{200, "Accepted.", answer_schema<RefreshAnswer>()}}},
                   .max_body_bytes = kRegisterMaxBytes,
                   .outside = true,
                   .timeout = kRegistrationTimeout});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/heartbeat",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(post_heartbeat, context),
                   .doc = {.summary = "One heartbeat; the answer names what should run.",
                           .tag = "agents",
                           .request = request_schema<HeartbeatRequest>(),
                           .answers = {{200, "What the agent should do.", answer_schema<HeartbeatAnswer>()}}},
                   .fast = [&context](const net::Request& request) { return fast_heartbeat(context, request); },
                   .max_body_bytes = kHeartbeatMaxBytes,
                   .reserved = true,
                   .shed = net::Shed::never});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/agents/{agent_id}/tunnel",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(get_tunnel, context),
                   .doc = {.summary = "The agent's tunnel and its token, sealed.",
                           .tag = "agents",
                           .answers = {{200, "Signed.", answer_schema<TunnelAnswer>()}}},
                   .shed = net::Shed::never});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/credential/rotate",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(post_rotate, context),
                   .doc = {.summary = "A new credential; the request is signed with the instance key.",
                           .tag = "agents",
                           .request = request_schema<agent_api::RotateRequest>(),
                           .answers = {{200, "Sealed and signed.", answer_schema<agent_api::RotateAnswer>()}}},
                   .max_body_bytes = 4096,
                   .shed = net::Shed::never});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/agents/{agent_id}/signing-keys",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(get_signing_keys, context),
                   .doc = {.summary = "The control plane's published signing keys.",
                           .tag = "agents",
                           .answers = {{200, "Signed by a key that the agent already trusts.",
                                        answer_schema<agent_api::SigningKeys>()}}},
                   .shed = net::Shed::never});
}

}  // namespace ee::cp
