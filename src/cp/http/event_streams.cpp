#include "cp/http/event_streams.h"

#include <algorithm>
#include <atomic>
#include <optional>

namespace ee::cp {

/// A wait on the clock that others can end. A wake while nobody waits ends the next wait at once, so none is lost.
class EventStreams::Wait {
 public:
  std::atomic<std::size_t> followers = 0;

  void wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    source_.request_stop();
  }
  void until(Clock& clock, SteadyTime deadline) {
    std::stop_token token;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(woken_, false)) return;
      source_ = std::stop_source();
      token = source_.get_token();
    }
    clock.await_deadline(deadline, token);
    const std::lock_guard lock(mutex_);
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::stop_source source_;
  bool woken_ = false;
};

struct EventStreams::Follower {
  Wanted wanted;
  net::ResponseStream stream;
  std::string pending;  // made, and not taken yet
  bool source_ended = false;
  bool whole = false;  // `pending` ends it
  std::shared_ptr<std::atomic<bool>> blocked = std::make_shared<std::atomic<bool>>(false);
  SteadyTime last_sent = {};
  SteadyTime ends_at = {};
  SteadyTime check_at = {};
  std::optional<std::stop_callback<std::function<void()>>> on_stop = {};
};

void append_event(std::string& out, std::string_view name, std::string_view id, std::string_view data) {
  if (!id.empty()) out.append("id: ").append(id).append("\n");
  if (!name.empty()) out.append("event: ").append(name).append("\n");
  out.append("data: ").append(data).append("\n\n");
}

bool wants_events(const net::Request& request) {
  std::string_view accept = request.header("Accept").value_or("");
  while (!accept.empty()) {
    const std::size_t comma = accept.find(',');
    std::string_view item = accept.substr(0, comma);
    accept = comma == std::string_view::npos ? std::string_view{} : accept.substr(comma + 1);
    item = item.substr(0, item.find(';'));
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (net::equal_ignoring_case(item, "text/event-stream")) return true;
  }
  return false;
}

EventStreams::EventStreams(Clock& clock, Limits limits)
    : clock_(clock), limits_(limits), wait_(std::make_shared<Wait>()), thread_([this](const std::stop_token& stop) {
        const std::stop_callback wake(stop, [this] { wait_->wake(); });
        run(stop);
      }) {}

EventStreams::~EventStreams() {
  thread_.request_stop();
  thread_.join();
}

std::function<void()> EventStreams::waker() const {
  return [wait = wait_] {
    if (wait->followers.load() > 0) wait->wake();
  };
}

std::size_t EventStreams::size() const {
  const std::lock_guard lock(mutex_);
  return followers_.size();
}

/// Under the lock.
bool EventStreams::room(const std::vector<std::string>& groups, std::size_t most_in_group) const {
  if (followers_.size() >= limits_.total) return false;
  return std::ranges::all_of(groups, [&](const std::string& group) {
    const auto in_group = std::ranges::count_if(followers_, [&](const auto& follower) {
      const auto& of = follower->wanted.groups;
      return std::ranges::find(of, group) != of.end();
    });
    return static_cast<std::size_t>(in_group) < most_in_group;
  });
}

Result<void> EventStreams::check_room(const std::vector<std::string>& groups, std::size_t most_in_group) const {
  const std::lock_guard lock(mutex_);
  if (!room(groups, most_in_group)) return fail(ErrorCode::too_many_followers);
  return {};
}

Result<net::Response> EventStreams::open(Wanted wanted) {
  const SteadyTime now = clock_.steady_now();
  auto follower = std::make_shared<Follower>();
  follower->wanted = std::move(wanted);
  follower->last_sent = now;
  follower->ends_at = now + limits_.longest;
  follower->check_at = now + kRecheck;
  net::Response response{
      .status = 200,
      .headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}},
      .stream = follower->stream.body()};
  response.sensitive = true;  // never compressed
  {
    const std::lock_guard lock(mutex_);
    if (!room(follower->wanted.groups, follower->wanted.most_in_group)) return fail(ErrorCode::too_many_followers);
    followers_.push_back(follower);
    wait_->followers = followers_.size();
  }
  follower->on_stop.emplace(follower->stream.stop_token(), waker());
  wait_->wake();
  return response;
}

void EventStreams::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<std::shared_ptr<Follower>> followers;
    {
      const std::lock_guard lock(mutex_);
      followers = followers_;
    }
    for (const auto& follower : followers) {
      if (stop.stop_requested()) break;
      if (serve(*follower)) continue;
      const std::lock_guard lock(mutex_);
      std::erase(followers_, follower);
      wait_->followers = followers_.size();
    }
    followers.clear();  // what ended is destroyed now
    if (!stop.stop_requested()) wait_->until(clock_, clock_.steady_now() + kPoll);
  }
  const std::lock_guard lock(mutex_);
  followers_.clear();
}

/// The last event. False: the stream is over.
bool EventStreams::end(Follower& follower, std::string_view reason) {
  std::string last;
  append_event(last, "end", "", "{\"reason\":\"" + std::string(reason) + "\"}");
  // What waits goes first; a follower that is stuck learns nothing more.
  if (!follower.pending.empty() && follower.stream.offer(follower.pending) != net::ResponseStream::Offer::taken) {
    follower.stream.abort();
    return false;
  }
  if (follower.stream.offer(last) == net::ResponseStream::Offer::taken)
    follower.stream.finish();
  else
    follower.stream.abort();
  return false;
}

/// Moves what can be moved. False: the stream is over.
bool EventStreams::serve(Follower& follower) {
  using Offer = net::ResponseStream::Offer;
  if (follower.stream.closed()) return false;
  const SteadyTime now = clock_.steady_now();
  if (follower.stream.stop_token().stop_requested()) return end(follower, "shutdown");
  if (now >= follower.ends_at) return end(follower, "time");
  if (now >= follower.check_at) {
    follower.check_at = now + kRecheck;
    if (follower.wanted.still_allowed && !follower.wanted.still_allowed()) return end(follower, "unauthorized");
  }
  if (follower.blocked->load()) return true;
  for (int i = 0; i < 16; ++i) {
    auto state = EventSource::State::more;
    if (follower.pending.empty() && !follower.source_ended) {
      state = follower.wanted.source->pull(follower.pending, kPiece);
      follower.source_ended = state == EventSource::State::ended;
    }
    if (follower.pending.empty()) {
      if (follower.source_ended) return end(follower, "done");
      if (now - follower.last_sent < kPing) return true;
      follower.pending = ": ping\n\n";
      state = EventSource::State::waiting;
    }
    switch (follower.stream.offer(follower.pending)) {
      case Offer::closed: return false;
      case Offer::full:
        *follower.blocked = true;
        follower.stream.on_room([blocked = follower.blocked, wake = waker()] {
          *blocked = false;
          wake();
        });
        return true;
      case Offer::taken: break;
    }
    follower.pending.clear();
    follower.last_sent = now;
    if (state == EventSource::State::waiting) return true;
  }
  wait_->wake();  // there is more; the others have their turn first
  return true;
}

}  // namespace ee::cp
