#include "bench/fleet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace ee::bench {
namespace {

constexpr std::chrono::seconds kAnswerPatience{10};
constexpr std::size_t kStatusesKept = 8;

/// The number behind `name` in `text`; `fallback` when there is none.
int number_after(std::string_view text, std::string_view name, int fallback) {
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) return fallback;
  int value = fallback;
  std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::uint32_t FleetResult::percentile_us(double fraction) const {
  if (latencies_us.empty()) return 0;
  std::vector<std::uint32_t> sorted = latencies_us;
  const auto at = static_cast<std::ptrdiff_t>(fraction * static_cast<double>(sorted.size() - 1));
  std::nth_element(sorted.begin(), sorted.begin() + at, sorted.end());
  return sorted[static_cast<std::size_t>(at)];
}

Fleet::Fleet(const std::string& file, const LoadOptions& options) : options_(options), epoll_(::epoll_create1(0)) {
  std::ifstream in(file);
  const auto now = Steady::now();
  std::string id;
  std::string credential;
  std::string boot_id;
  while (in >> id >> credential >> boot_id) {
    agents_.push_back({.id = id,
                       .credential = credential,
                       .boot_id = boot_id,
                       .schedule = agent::HeartbeatSchedule(now, random_),
                       .due = {}});
  }
  if (agents_.empty()) throw std::runtime_error("no agents in " + file);
  connections_.resize(static_cast<std::size_t>(options_.connections));
  for (std::size_t i = 0; i < connections_.size(); ++i) free_.push_back(i);
}

Fleet::~Fleet() {
  for (const Connection& connection : connections_)
    if (connection.fd >= 0) ::close(connection.fd);
  ::close(epoll_);
}

std::int32_t Fleet::longest_interval_seconds() const {
  std::int32_t longest = 0;
  for (const Agent& agent : agents_) longest = std::max(longest, agent.interval_seconds);
  return longest;
}

/// Not in the constructor: the server is started after it, and a fleet that is late from the start is another scenario.
void Fleet::begin(Steady::time_point now) {
  if (std::exchange(begun_, true)) return;
  for (std::size_t i = 0; i < agents_.size(); ++i)
    plan(i, agents_[i].schedule.next(now, Seconds(agents_[i].interval_seconds)));
}

FleetResult Fleet::run(double seconds, const std::function<bool(const FleetResult&)>& enough) {
  result_ = {};
  result_.latencies_us.reserve(1'000'000);
  for (Agent& agent : agents_) agent.seen = false;
  const auto began = run_began_ = Steady::now();
  begin(began);
  const auto end = began + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
  auto next_check = began;
  std::vector<epoll_event> events(256);
  for (auto now = began; now < end; now = Steady::now()) {
    send_due(now);
    const auto until = waiting_.empty() && !due_.empty() ? due_.top().first : now + std::chrono::milliseconds(10);
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::min(until, end) - now).count();
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(std::clamp<std::int64_t>(wait, 0, 100)));
    for (int i = 0; i < count; ++i) receive(events[static_cast<std::size_t>(i)].data.u32);
    if (enough && enough(result_)) break;
    if (now < next_check) continue;
    next_check = now + std::chrono::seconds(1);
    drop_overdue(now);
  }
  result_.seconds = std::chrono::duration<double>(Steady::now() - began).count();
  return std::move(result_);
}

void Fleet::plan(std::size_t agent, Steady::time_point due) {
  agents_[agent].due = due;
  due_.emplace(due, agent);
}

void Fleet::send_due(Steady::time_point now) {
  for (; !due_.empty() && due_.top().first <= now; due_.pop()) waiting_.push_back(due_.top().second);
  while (!waiting_.empty() && !free_.empty()) {
    const std::size_t agent = waiting_.front();
    const std::size_t connection = free_.back();
    waiting_.pop_front();
    if (!open(connection)) {
      failed(agent);
      continue;
    }
    free_.pop_back();
    send(connection, agent);
  }
}

bool Fleet::open(std::size_t index) {
  Connection& connection = connections_[index];
  if (connection.fd >= 0) return true;
  try {
    connection.fd = connect_to(options_);
  } catch (const std::exception&) {
    return false;
  }
  ::fcntl(connection.fd, F_SETFL, ::fcntl(connection.fd, F_GETFL) | O_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<std::uint32_t>(index);
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  return true;
}

void Fleet::send(std::size_t index, std::size_t agent_index) {
  Connection& connection = connections_[index];
  Agent& agent = agents_[agent_index];
  connection.agent = agent_index;
  connection.busy = true;
  connection.sent_at = Steady::now();
  connection.in.clear();
  const std::string body = fmt::format(
      R"({{"seq":{},"boot_id":"{}","sent_at":"2026-01-01T00:00:00.000Z","agent_version":"0.1.0","health":{{"status":"healthy","checks":[{{"name":"control_plane","ok":true,"code":null}}]}},"workload":null,"tunnel":{{"state":"connected","ready_connections":4,"restarts":0}},"stats":null,"draining":false}})",
      ++agent.seq, agent.boot_id);
  out_.clear();
  fmt::format_to(
      std::back_inserter(out_),
      "POST /api/v1/agents/{}/heartbeat HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: "
      "application/json\r\nContent-Length: {}\r\n\r\n{}",
      agent.id, agent.credential, body.size(), body);
  // Far smaller than a socket's buffer, which is empty: it fits or the connection is gone.
  if (::send(connection.fd, out_.data(), out_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out_.size())) drop(index);
}

void Fleet::receive(std::size_t index) {
  Connection& connection = connections_[index];
  if (connection.fd < 0) return;
  char buffer[16384];
  const ssize_t got = ::recv(connection.fd, buffer, sizeof buffer, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop(index);
  connection.in.append(buffer, static_cast<std::size_t>(got));
  const auto parsed = parse_answer(connection.in);
  if (!parsed || connection.in.size() < parsed->total) return;
  const std::string_view head = std::string_view(connection.in).substr(0, parsed->head);
  answered(connection, parsed->status, std::string_view(connection.in).substr(parsed->head),
           number_after(head, "Retry-After: ", 0));
  connection.busy = false;
  if (head.find("Connection: close") != std::string_view::npos) return drop(index);
  free_.push_back(index);
}

void Fleet::answered(Connection& connection, int status, std::string_view body, int retry_after) {
  const auto now = Steady::now();
  Agent& agent = agents_[connection.agent];
  if (result_.latencies_us.size() < result_.latencies_us.capacity())
    result_.latencies_us.push_back(
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - agent.due).count()));
  if (status != 200) {
    ++result_.refused;
    if (result_.statuses.size() < kStatusesKept) result_.statuses.push_back(status);
    const auto wait = retry_after > 0 ? Milliseconds(Seconds(retry_after)) : agent.backoff.next(random_);
    return plan(connection.agent, now + wait);
  }
  ++result_.beats;
  if (!std::exchange(agent.seen, true) && ++result_.agents_seen == agents_.size())
    result_.all_seen_seconds = std::chrono::duration<double>(now - run_began_).count();
  agent.backoff.reset();
  agent.interval_seconds = number_after(body, R"("heartbeat_interval_seconds":)", agent.interval_seconds);
  plan(connection.agent, agent.schedule.next(now, Seconds(agent.interval_seconds)));
}

void Fleet::failed(std::size_t agent) {
  ++result_.unanswered;
  plan(agent, Steady::now() + agents_[agent].backoff.next(random_));
}

void Fleet::drop(std::size_t index) {
  Connection& connection = connections_[index];
  if (connection.fd >= 0) ::close(connection.fd);
  connection.fd = -1;
  if (std::ranges::find(free_, index) == free_.end()) free_.push_back(index);
  if (std::exchange(connection.busy, false)) failed(connection.agent);
}

void Fleet::drop_overdue(Steady::time_point now) {
  for (std::size_t i = 0; i < connections_.size(); ++i)
    if (connections_[i].busy && now - connections_[i].sent_at > kAnswerPatience) drop(i);
}

}  // namespace ee::bench
