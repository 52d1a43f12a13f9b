#include "agent/workload_api.h"

#include <algorithm>
#include <atomic>
#include <boost/describe/enum_to_string.hpp>

#include "agent/proc_text.h"
#include "agent/request_path.h"
#include "common/deadline_stop.h"
#include "common/json.h"
#include "net/stream.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kMostTail = 10'000;
constexpr std::int64_t kDefaultTail = 200;
constexpr std::size_t kMaxFilter = 256;
constexpr std::string_view kAgentContainer = "_agent";

struct DeploymentView {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  agent_api::WorkloadPhase phase = agent_api::WorkloadPhase::accepted;
  std::optional<agent_api::WorkloadHealth> health;
  std::optional<std::string> detail;
  std::optional<agent_api::WorkloadProgress> progress;
};
BOOST_DESCRIBE_STRUCT(DeploymentView, (), (deployment_id, assignment_epoch, revision, phase, health, detail, progress))

struct LogRecord {
  UtcTime at;
  std::string container;
  std::string stream;
  std::string line;
};
BOOST_DESCRIBE_STRUCT(LogRecord, (), (at, container, stream, line))
struct CutLogRecord {
  UtcTime at;
  std::string container;
  std::string stream;
  std::string line;
  bool truncated = true;
};
BOOST_DESCRIBE_STRUCT(CutLogRecord, (), (at, container, stream, line, truncated))
struct LogEnd {
  bool end = true;
  std::int64_t dropped = 0;
};
BOOST_DESCRIBE_STRUCT(LogEnd, (), (end, dropped))

struct StatsView {
  agent_api::HostStats host;
  std::map<std::string, ContainerStats> containers;
};
BOOST_DESCRIBE_STRUCT(StatsView, (), (host, containers))

net::Response answer(int status, std::string body) {
  net::Response out{.status = status, .body = std::move(body)};
  if (!out.body.empty()) out.headers.push_back({"Content-Type", "application/json"});
  return out;
}

std::unexpected<Error> invalid(std::string detail) { return fail(ErrorCode::invalid_request, std::move(detail)); }

std::string record_text(const LogLine& line) {
  const std::string stream = line.stream == LogStream::out ? "stdout" : "stderr";
  std::string out =
      line.truncated
          ? json::write(CutLogRecord{.at = line.at, .container = line.service, .stream = stream, .line = line.text})
          : json::write(LogRecord{.at = line.at, .container = line.service, .stream = stream, .line = line.text});
  out += '\n';
  return out;
}

std::string end_text(std::int64_t dropped) { return json::write(LogEnd{.dropped = dropped}) + "\n"; }

/// RFC 3339, or a whole number of seconds, minutes or hours ago: `90s`, `5m`, `2h`.
Result<UtcTime> time_of(const std::string& text, UtcTime now) {
  if (const auto at = parse_rfc3339(text)) return *at;
  const auto count = text.empty() ? std::nullopt : decimal(std::string_view(text).substr(0, text.size() - 1));
  if (!count || *count > 1'000'000) return invalid("a time is neither RFC 3339 nor like 5m");
  switch (text.back()) {
    case 's': return now - Seconds(*count);
    case 'm': return now - Seconds(*count * 60);
    case 'h': return now - Seconds(*count * 3600);
    default: return invalid("a time is neither RFC 3339 nor like 5m");
  }
}

struct LogRequest {
  LogQuery query;
  bool agent = false;
  bool follow = false;
};

Result<LogRequest> read_log_request(std::string_view text, UtcTime now) {
  const auto query =
      read_query(text, {"deployment_id", "container", "since", "until", "tail", "stream", "q", "follow"});
  if (!query) return fail(query.error());
  const auto value = [&](const char* name) -> const std::string* {
    const auto found = query->find(name);
    return found == query->end() ? nullptr : &found->second;
  };
  LogRequest out;
  out.query.tail = kDefaultTail;
  if (const auto* deployment = value("deployment_id")) {
    if (!is_uuid(*deployment)) return invalid("deployment_id");
    out.query.deployment_id = *deployment;
  }
  if (const auto* container = value("container")) {
    out.agent = *container == kAgentContainer;
    if (!out.agent && !is_dns_label(*container)) return invalid("container");
    out.query.service = *container;
  }
  for (const auto& [name, member] : {std::pair("since", &LogQuery::since), std::pair("until", &LogQuery::until)})
    if (const auto* given = value(name)) {
      const auto at = time_of(*given, now);
      if (!at) return fail(at.error());
      out.query.*member = *at;
    }
  if (const auto* tail = value("tail")) {
    const auto count = decimal(*tail);
    if (!count || *count < 1 || *count > kMostTail) return invalid("tail must be between 1 and 10000");
    out.query.tail = static_cast<std::size_t>(*count);
  }
  if (const auto* stream = value("stream")) {
    if (*stream == "stdout") {
      out.query.stream = LogStream::out;
    } else if (*stream == "stderr") {
      out.query.stream = LogStream::err;
    } else if (*stream != "both") {
      return invalid("stream must be stdout, stderr or both");
    }
  }
  if (const auto* contains = value("q")) {
    if (contains->size() > kMaxFilter) return invalid("q is too long");
    out.query.contains = *contains;
  }
  if (const auto* follow = value("follow")) {
    if (*follow != "true" && *follow != "false" && *follow != "1" && *follow != "0") return invalid("follow");
    out.follow = *follow == "true" || *follow == "1";
  }
  return out;
}

}  // namespace

Result<std::map<std::string, std::string>> read_query(std::string_view query, const std::vector<std::string>& known) {
  std::map<std::string, std::string> out;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const auto name = percent_decoded(part.substr(0, equals));
    const auto value = percent_decoded(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    if (!name || !value) return invalid("the query cannot be decoded");
    if (std::ranges::find(known, *name) == known.end()) return invalid("the query has an unknown parameter");
    if (!out.emplace(*name, *value).second) return invalid("the query names a parameter twice");
  }
  return out;
}

struct WorkloadApi::Follower {
  std::atomic<bool> done = false;
  std::jthread thread;
};

WorkloadApi::WorkloadApi(Reconciler& reconciler, LogRing& logs, LogRing& agent_log, Hooks hooks, Clock& clock)
    : reconciler_(reconciler), logs_(logs), agent_log_(agent_log), hooks_(std::move(hooks)), clock_(clock) {}

WorkloadApi::~WorkloadApi() = default;

// ---- deployment ----------------------------------------------------------------------------------------------------

Result<net::Response> WorkloadApi::put_deployment(const net::Request& request) {
  const auto taken = reconciler_.take(request.body, request.header(agent_api::kKidHeader).value_or(""),
                                      request.header(agent_api::kSignatureHeader).value_or(""), DocumentPath::push);
  if (!taken) return fail(taken.error());
  switch (taken->taken) {
    case Reconciler::Taken::held_by_other: {
      Error error{.code = ErrorCode::deployment_held, .detail = "another deployment is held"};
      error.members.push_back({.name = "deployment_id", .value = taken->held_deployment_id});
      return fail(std::move(error));
    }
    case Reconciler::Taken::older: return fail(ErrorCode::revision_older, "a newer document is held");
    case Reconciler::Taken::already: {
      auto view = get_deployment();
      if (view && view->status == 204) return answer(200, "{}");
      return view;
    }
    case Reconciler::Taken::accepted: return answer(202, "{}");
  }
  return fail(ErrorCode::internal_error, "unknown outcome");
}

Result<net::Response> WorkloadApi::delete_deployment(const net::Request& request) {
  const auto query = read_query(request.query, {"deployment_id", "assignment_epoch"});
  if (!query) return fail(query.error());
  const auto id = query->find("deployment_id");
  const auto epoch_text = query->find("assignment_epoch");
  const auto epoch = epoch_text == query->end() ? std::nullopt : decimal(epoch_text->second);
  if (id == query->end() || !is_uuid(id->second) || !epoch)
    return invalid("deployment_id and assignment_epoch are required");
  switch (reconciler_.undeploy(id->second, *epoch)) {
    case Reconciler::Undeploy::stopping: return answer(202, "{}");
    case Reconciler::Undeploy::nothing: return answer(204, "");
    case Reconciler::Undeploy::held_by_other: break;
  }
  return fail(ErrorCode::deployment_held, "another deployment is held");
}

Result<net::Response> WorkloadApi::get_deployment() {
  const auto report = reconciler_.report();
  if (!report) return answer(204, "");
  return answer(
      200, json::write(DeploymentView{.deployment_id = report->deployment_id,
                                      .assignment_epoch = report->assignment_epoch,
                                      .revision = report->revision,
                                      .phase = report->phase,
                                      .health = report->health,
                                      .detail = report->failure ? std::optional(report->failure->detail) : std::nullopt,
                                      .progress = report->progress}));
}

// ---- logs and stats ------------------------------------------------------------------------------------------------

Result<net::Response> WorkloadApi::get_logs(const net::Request& request, const LogAccess& access) {
  auto read = read_log_request(request.query, clock_.now());
  if (!read) return fail(read.error());
  if (read->agent && !access.control) return fail(ErrorCode::insufficient_scope, "the agent's own log");
  LogRing& ring = read->agent ? agent_log_ : logs_;
  if (access.only_deployment) read->query.deployment_id = access.only_deployment;
  const LogPage page = ring.query(read->query);
  if (read->follow) return follow(std::move(read->query), ring, page);
  net::Response out;
  out.headers.push_back({"Content-Type", "application/x-ndjson"});
  for (const LogLine& line : page.lines) out.body += record_text(line);
  out.body += end_text(page.dropped);
  return out;
}

/// A thread per follower, of which there are few; it waits in the ring for lines and at the client for room.
Result<net::Response> WorkloadApi::follow(LogQuery query, LogRing& ring, const LogPage& first) {
  const std::lock_guard lock(mutex_);
  std::erase_if(followers_, [](const auto& follower) { return follower->done.load(); });
  if (followers_.size() >= kMaxFollowers) {
    Error busy{.code = ErrorCode::rate_limited, .detail = "too many followers"};
    busy.retry_after = 2s;
    return fail(std::move(busy));
  }
  net::ResponseStream stream;
  net::Response out;
  out.headers.push_back({"Content-Type", "application/x-ndjson"});
  out.stream = stream.body();
  std::string begin;
  for (const LogLine& line : first.lines) begin += record_text(line);
  auto follower = std::make_unique<Follower>();
  Follower* self = follower.get();
  follower->thread =
      std::jthread([this, self, &ring, query = std::move(query), position = first.position, begin = std::move(begin),
                    stream = std::move(stream)](const std::stop_token& ended) mutable {
        const std::stop_callback forward(ended, [&] { stream.abort(); });
        const DeadlineStop until(clock_, clock_.steady_now() + kFollowTime, stream.stop_token());
        std::int64_t dropped = 0;
        bool going = begin.empty() || stream.write(begin);
        while (going) {
          const LogPage page = ring.follow(query, position, until.token());
          position = page.position;
          dropped = page.dropped;
          std::string text;
          for (const LogLine& line : page.lines) text += record_text(line);
          if (!text.empty()) going = stream.write(text);
          if (until.token().stop_requested()) break;
        }
        if (going && !stream.closed()) {
          stream.write(end_text(dropped));
          stream.finish();
        }
        self->done = true;
      });
  followers_.push_back(std::move(follower));
  return out;
}

Result<net::Response> WorkloadApi::get_stats() {
  return answer(200, json::write(StatsView{.host = hooks_.host_stats(), .containers = hooks_.container_stats()}));
}

}  // namespace ee::agent
