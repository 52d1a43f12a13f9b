#pragma once
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/random.h"
#include "cp/service/agent_endpoint.h"
#include "cp/service/signing_keys.h"

namespace ee::cp {

/// What an agent answered: any status but a redirect, and a body within its bound. Not to be believed further than the
/// agent itself.
struct AgentAnswer {
  int status = 0;
  std::string body = {};
  std::string content_type = {};  ///< as it was sent
  bool shortened = false;         ///< logs: fewer lines were asked for, since all of them were too long
  bool broken_off = false;        ///< logs: the agent went away before the end of `body`

  bool ok() const { return status >= 200 && status < 300; }
};

/// Which lines of a container's log are asked for (02 section 15.3). Empty members are left out.
struct AgentLogQuery {
  std::string deployment_id = {};  ///< its lines alone: an agent keeps those of earlier ones for an hour
  std::string container = {};      ///< `_agent`: the agent's own lines
  std::string since = {};          ///< RFC 3339, or a span such as `5m`
  std::string until = {};
  std::optional<std::int64_t> tail = {};  ///< 1..10000
  std::string stream = {};                ///< `stdout` or `stderr`
  std::string search = {};                ///< a text that lines must hold
  std::size_t max_answer = 1024UL * 1024;
  bool shorten = true;     ///< an answer that is too long is asked for again with a shorter tail; else body_too_large
  bool keep_part = false;  ///< what came before the agent went away is an answer, `broken_off`
};

/// Whether an answer bears `X-EE-Agent`, once, with exactly this agent's id.
bool is_from_agent(const HttpClientResponse& response, const AgentId& agent);
/// Whether a content type is that of NDJSON.
bool is_ndjson(std::string_view content_type);

/// Calls to an agent's own API (02 section 15.3), each with a fresh control token (15.2) that fits this call only.
/// Redirects are not followed. Calls block, up to ten seconds (pushes and stops: thirty), and are made neither from an
/// io thread nor while the database's writer is held. Thread-safe.
///
/// Errors of all: agent_unreachable (no address, no connection, no answer in time, stopped), agent_bad_response (too
/// long, a redirect, or without this agent's `X-EE-Agent`: somebody else answered). Every other status is an answer.
class AgentClient {
 public:
  static constexpr std::size_t kMaxAnswer = 64UL * 1024;
  static constexpr std::size_t kMaxEvidenceAnswer = 256UL * 1024;
  static constexpr Milliseconds kTimeout{10'000};
  static constexpr Seconds kTokenLife{60};

  /// All outlive the object.
  struct Parts {
    const AgentEndpoint& endpoint;
    const SigningKeys& signing_keys;
    HttpClient& http;
    const Clock& clock;
    Random& random;
  };
  explicit AgentClient(Parts parts) : parts_(parts) {}

  /// `document` are the very bytes that `signature` (kind `deployment`) was made over.
  Result<AgentAnswer> put_deployment(const AgentRow& agent, std::string document, const BodySignature& signature,
                                     std::stop_token stop = {});
  Result<AgentAnswer> delete_deployment(const AgentRow& agent, const DeploymentId& deployment, std::int64_t epoch,
                                        std::stop_token stop = {});
  Result<AgentAnswer> get_deployment(const AgentRow& agent, std::stop_token stop = {});
  /// Heartbeat and pull now.
  Result<AgentAnswer> sync(const AgentRow& agent, std::stop_token stop = {});
  /// NDJSON. Errors: also body_too_large, if the query is not to be shortened.
  Result<AgentAnswer> logs(const AgentRow& agent, const AgentLogQuery& query, const std::stop_token& stop = {});
  /// The call of a log that is followed, for HttpStreams; its token counts for the next seconds alone. Errors:
  /// agent_unreachable.
  Result<HttpClientRequest> follow_request(const AgentRow& agent, const AgentLogQuery& query);
  Result<AgentAnswer> stats(const AgentRow& agent, std::stop_token stop = {});
  /// Evidence over a nonce (64 hex digits) for whoever asked for it (02 section 15.5).
  Result<AgentAnswer> evidence(const AgentRow& agent, std::string_view nonce, std::stop_token stop = {});
  /// Fresh evidence now.
  Result<AgentAnswer> reattest(const AgentRow& agent, std::stop_token stop = {});

 private:
  struct Call;
  Result<AgentAnswer> send(const AgentRow& agent, Call call, std::stop_token stop, bool* too_long = nullptr);
  static Result<AgentAnswer> judged(HttpClientResponse response, const AgentId& agent);
  Result<HttpClientRequest> request_of(const AgentRow& agent, Call call) const;
  std::optional<std::string> token_for(const AgentId& agent, const Call& call) const;

  Parts parts_;
};

}  // namespace ee::cp
