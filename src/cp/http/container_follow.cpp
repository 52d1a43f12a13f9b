#include "cp/http/container_follow.h"

#include <algorithm>

#include "common/json.h"

namespace ee::cp {
namespace {

std::size_t cost_of(const AgentLogRecord& record) { return record.line.line.size() + 128; }

std::size_t key_of(const AgentLogRecord& record) {
  const std::size_t a = std::hash<std::string>()(record.line.container);
  const std::size_t b = std::hash<std::string>()(record.line.line);
  return a * 31 + b + (record.line.stream == "stderr" ? 1U : 0U);
}

}  // namespace

// ---- what arrives ---------------------------------------------------------------------------------------------------

/// Always false: the stream ends.
bool AgentFeed::fail_with(ErrorCode code) {
  if (!std::exchange(done_, true)) {
    state_.phase = Phase::failed;
    state_.failure = code;
  }
  return false;
}

bool AgentFeed::head(const HttpClientResponse& head) {
  const std::lock_guard lock(mutex_);
  if (!is_from_agent(head, agent_)) return fail_with(ErrorCode::agent_bad_response);
  if (head.status == 429 || head.status == 503) return fail_with(ErrorCode::agent_unreachable);
  if (head.status != 200 || !is_ndjson(head.header("Content-Type").value_or("")))
    return fail_with(ErrorCode::agent_bad_response);
  state_.answered = true;
  return true;
}

bool AgentFeed::record(std::string_view text) {
  if (text.empty()) return true;
  auto read = parse_agent_record(text);
  if (done_) {  // behind its end
    state_.phase = Phase::failed;
    state_.failure = ErrorCode::agent_bad_response;
    return false;
  }
  if (!read) return fail_with(ErrorCode::agent_bad_response);
  if (read->is_end) {
    done_ = true;
    state_.phase = Phase::ended;
    return true;
  }
  bytes_ += cost_of(*read);
  state_.lines.push_back(std::move(*read));
  while (state_.lines.size() > kMaxLines || bytes_ > kMaxBytes) {
    bytes_ -= cost_of(state_.lines.front());
    state_.lines.pop_front();
    ++state_.lost;
  }
  return true;
}

bool AgentFeed::bytes(std::string_view bytes) {
  bool going = true;
  {
    const std::lock_guard lock(mutex_);
    while (going && !bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      partial_.append(bytes.substr(0, end));
      if (partial_.size() > kMaxAgentRecord) {
        going = fail_with(ErrorCode::agent_bad_response);
      } else if (end == std::string_view::npos) {
        break;
      } else {
        going = record(partial_);
        partial_.clear();
        bytes.remove_prefix(end + 1);
      }
    }
  }
  wake_();
  return going;
}

void AgentFeed::end(std::optional<HttpFailure> failure) {
  {
    const std::lock_guard lock(mutex_);
    if (failure == HttpFailure::timeout && state_.answered) {
      if (!std::exchange(done_, true)) state_.phase = Phase::ended;  // its time is over
    } else if (failure) {
      fail_with(failure == HttpFailure::protocol && state_.answered ? ErrorCode::agent_bad_response
                                                                    : ErrorCode::agent_unreachable);
    } else {
      fail_with(ErrorCode::agent_bad_response);  // no end record
    }
  }
  wake_();
}

AgentFeed::Taken AgentFeed::take() {
  const std::lock_guard lock(mutex_);
  Taken taken{.lines = std::move(state_.lines),
              .lost = std::exchange(state_.lost, 0),
              .phase = state_.phase,
              .failure = state_.failure,
              .answered = state_.answered};
  state_.lines.clear();
  bytes_ = 0;
  return taken;
}

void RepeatFilter::reopened() {
  expected_ = seen_;
  repeats_until_ = last_at_;
}

bool RepeatFilter::is_new(const AgentLogRecord& record) {
  const std::size_t key = key_of(record);
  if (repeats_until_ && record.at == *repeats_until_) {
    if (const auto found = expected_.find(key); found != expected_.end()) {
      if (--found->second == 0) expected_.erase(found);
      return false;
    }
  } else if (repeats_until_ && record.at < *repeats_until_) {
    return false;  // not asked for
  } else {
    repeats_until_.reset();
  }
  if (!last_at_ || record.at > *last_at_) {
    last_at_ = record.at;
    seen_.clear();
  }
  if (record.at == *last_at_ && seen_.size() < kMost) ++seen_[key];
  return true;
}

// ---- what is sent ---------------------------------------------------------------------------------------------------

void ContainerFollow::open(Agent& agent) {
  AgentLogQuery query{.deployment_id = agent.target.deployment_id,
                      .container = wanted_.container,
                      .since = wanted_.since,
                      .until = wanted_.until,
                      .tail = wanted_.tail,
                      .stream = wanted_.stream,
                      .search = wanted_.search};
  if (agent.repeats.last_at()) {
    query.since = to_rfc3339(*agent.repeats.last_at());
    query.tail = ContainerLogs::kMaxTail;
  }
  if (agent.opened) agent.repeats.reopened();
  agent.opened = true;
  agent.feed = std::make_shared<AgentFeed>(agent.target.agent.id, parts_.wake);
  auto request = parts_.client.follow_request(agent.target.agent, query);
  if (!request) return agent.feed->end(HttpFailure::connect);
  request->total_timeout = kStreamLife;
  const std::shared_ptr<AgentFeed> feed = agent.feed;
  agent.stream = parts_.streams.open(std::move(*request), kFirstByte,
                                     {.on_head = [feed](const HttpClientResponse& head) { return feed->head(head); },
                                      .on_bytes = [feed](std::string_view bytes) { return feed->bytes(bytes); },
                                      .on_end = [feed](std::optional<HttpFailure> failure) { feed->end(failure); }});
  if (!agent.stream) feed->end(HttpFailure::connect);
}

/// Where the lines are now.
void ContainerFollow::look(std::string& out) {
  const SteadyTime now = parts_.clock.steady_now();
  if (next_look_ && now < *next_look_) return;
  next_look_ = now + kLook;
  auto targets = find_();
  if (!targets) {
    // Gone, or no longer the caller's.
    over_ = targets.error().code == ErrorCode::deployment_not_found ||
            targets.error().code == ErrorCode::service_not_found || targets.error().code == ErrorCode::agent_not_found;
    return;
  }
  if (targets->over) {
    if (!ends_at_) ends_at_ = now + kLook;
    if (targets->ended && agents_.empty() && targets->ended->log_tail) {
      if (const auto kept = parse_log_tail(*targets->ended->log_tail, targets->ended->id.str()))
        for (const ContainerLogLine& line : kept->items) append_event(out, "", "", json::write(line));
      over_ = true;
    }
    return;
  }
  ends_at_.reset();
  std::vector<std::string> wanted;
  for (LogTarget& target : targets->live) {
    std::string key = target.agent.id.str() + " " + target.deployment_id;
    wanted.push_back(key);
    if (const auto known = agents_.find(key); known != agents_.end())
      known->second.target = std::move(target);
    else
      agents_.emplace(std::move(key), Agent{.target = std::move(target), .open_at = now});
  }
  std::erase_if(agents_, [&](const auto& each) { return std::ranges::find(wanted, each.first) == wanted.end(); });
}

void ContainerFollow::failed(Agent& agent, ErrorCode code, std::string& out) {
  agent.pause = std::min(kMaxPause, agent.pause == Milliseconds(0) ? Milliseconds(1000) : 2 * agent.pause);
  agent.open_at = parts_.clock.steady_now() + agent.pause;
  if (std::exchange(agent.told_failure, true)) return;
  append_event(out, "error", "",
               json::write(AgentLogFailure{.agent_id = agent.target.agent.id.str(), .code = std::string(slug(code))}));
}

/// Takes what has come and opens what is not open.
void ContainerFollow::gather(Agent& agent, std::string& out) {
  if (agent.feed && agent.waiting.empty()) {
    AgentFeed::Taken taken = agent.feed->take();
    if (taken.lost > 0) append_event(out, "gap", "", "{\"dropped\":" + std::to_string(taken.lost) + "}");
    for (AgentLogRecord& record : taken.lines) {
      if (!agent.target.deployment_id.empty() && record.line.container == ContainerLogs::kAgentLines) continue;
      if (agent.repeats.is_new(record)) agent.waiting.push_back(std::move(record));
    }
    if (taken.answered && taken.phase != AgentFeed::Phase::failed) {
      agent.pause = Milliseconds(0);
      agent.told_failure = false;
    }
    if (taken.phase != AgentFeed::Phase::open) {
      agent.stream.reset();
      agent.feed.reset();
      // One that ends at once, each time, must not be asked without a pause.
      agent.open_at = parts_.clock.steady_now() + Milliseconds(1000);
      if (taken.phase == AgentFeed::Phase::failed) failed(agent, taken.failure, out);
    }
  }
  if (!agent.feed && !ends_at_ && parts_.clock.steady_now() >= agent.open_at) open(agent);
}

EventSource::State ContainerFollow::pull(std::string& out, std::size_t max_bytes) {
  look(out);
  if (over_) return State::ended;
  bool left = false;
  for (auto& [key, agent] : agents_) {
    if (out.size() < max_bytes) gather(agent, out);
    while (!agent.waiting.empty() && out.size() < max_bytes) {
      const ContainerLogLine line = shown_line(std::move(agent.waiting.front()), agent.target);
      agent.waiting.pop_front();
      append_event(out, "", line.at.value_or(""), json::write(line));
    }
    left |= !agent.waiting.empty();
  }
  if (left) return State::more;
  if (ends_at_ && parts_.clock.steady_now() >= *ends_at_) return State::ended;
  return State::waiting;
}

}  // namespace ee::cp
