#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "agent/runtime/fake_runtime.h"
#include "common/json.h"

namespace ee::agent {
namespace {

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* const value = object.if_contains(name);
  return value && value->is_string() ? std::string(value->as_string()) : std::string();
}

Labels labels_of(const boost::json::object& body) {
  Labels labels;
  if (const auto* const value = body.if_contains("Labels"); value && value->is_object())
    for (const auto& entry : value->as_object())
      if (entry.value().is_string()) labels[std::string(entry.key())] = std::string(entry.value().as_string());
  return labels;
}

/// Whether the body asks for a health check or switches the image's off; nothing when it does not say.
std::optional<bool> health_check_of(const boost::json::object& body) {
  const auto* const check = body.if_contains("Healthcheck");
  const auto* const test = check && check->is_object() ? check->as_object().if_contains("Test") : nullptr;
  if (!test || !test->is_array() || test->as_array().empty()) return std::nullopt;
  const auto& first = test->as_array().front();
  return !(first.is_string() && first.as_string() == "NONE");
}

std::string network_mode_of(const boost::json::object& body) {
  const auto* const host = body.if_contains("HostConfig");
  return host && host->is_object() ? text_of(host->as_object(), "NetworkMode") : std::string();
}

}  // namespace

/// Removes what this instance left under `name`; refuses when somebody else has it.
RuntimeResult<void> FakeRuntime::make_room(Lock& lock, const std::string& name) {
  Item* const old = find(name);
  if (!old) return {};
  if (old->foreign) return runtime_fail(RuntimeFailure::refused, "the container name is taken");
  const std::string id = old->container.id;
  if (old->container.state.running) end(lock, *old, 137, false);
  items_.erase(id);
  return {};
}

RuntimeResult<std::string> FakeRuntime::create(const ContainerSpec& spec, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::create, "create " + spec.name, stop); !entered)
    return std::unexpected(entered.error());
  const auto body = json::parse(spec.body);
  if (!body || !body->is_object()) return runtime_fail(RuntimeFailure::refused, "the body is not a JSON object");
  const boost::json::object& fields = body->as_object();
  const std::string reference = text_of(fields, "Image");
  const auto image = local_.find(reference);
  if (image == local_.end()) return runtime_fail(RuntimeFailure::not_found, "no such image");
  Item item;
  const std::string image_id = image->second.info.id;
  item.program = image->second.program;
  item.has_health_check = health_check_of(fields).value_or(image->second.info.has_health_check);
  if (std::string mode = network_mode_of(fields); !mode.empty()) item.networks.push_back(std::move(mode));
  for (const FurtherNetwork& further : spec.further_networks) item.networks.push_back(further.network);
  for (std::string& network : item.networks) {
    if (network == "none" || network == "default" || network == "host") continue;
    const auto found = std::ranges::find_if(
        networks_, [&](const auto& entry) { return entry.first == network || entry.second.id == network; });
    if (found == networks_.end()) return runtime_fail(RuntimeFailure::refused, "network not found");
    network = found->first;
  }
  if (auto room = make_room(lock, spec.name); !room) return std::unexpected(room.error());
  std::string id = fmt::format("{:064x}", next_++);
  item.container = {.id = id,
                    .name = spec.name,
                    .image = reference,
                    .body = spec.body,
                    .further_networks = spec.further_networks,
                    .state = {.id = id, .name = spec.name, .image_id = image_id}};
  item.container.state.labels = labels_of(fields);
  items_.emplace(id, std::move(item));
  return id;
}

RuntimeResult<void> FakeRuntime::start(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  Item* item = find(id);
  const std::string name = item ? item->container.name : id;
  if (auto entered = enter(lock, Call::start, "start " + name, stop); !entered) return entered;
  item = find(id);  // the lock was given up while it hung
  if (!item || item->foreign) return runtime_fail(RuntimeFailure::not_found, "no such container");
  ContainerState& state = item->container.state;
  if (state.running) return {};
  state.status = ContainerStatus::running;
  state.running = true;
  state.exit_code = 0;
  state.oom_killed = false;
  state.pid = 1000 + next_++;
  state.started_at = clock_.now();
  if (item->has_health_check)
    state.health = item->program.healthy ? ContainerHealth::healthy : ContainerHealth::unhealthy;
  emit(ContainerEventKind::start, *item);
  if (item->has_health_check) emit(ContainerEventKind::health_status, *item);
  for (const FakeProgram::Line& line : item->program.lines)
    item->log.push_back({.stream = line.stream, .at = tick(), .text = line.text});
  if (const auto exits = item->program.exits_with) {
    end(lock, *item, *exits, false);
  } else if (const auto started = watch_.started) {
    const Container copy = item->container;
    lock.unlock();
    started(copy);
  }
  return {};
}

RuntimeResult<WaitResult> FakeRuntime::wait(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::wait, {}, stop); !entered) return std::unexpected(entered.error());
  if (!find(id)) return runtime_fail(RuntimeFailure::not_found, "no such container");
  WaitResult result;
  changed_.wait(lock, stop, [&] {
    Item* const item = find(id);
    if (item) result.exit_code = item->container.state.exit_code;
    return !item || !item->container.state.running;
  });
  if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
  return result;
}

RuntimeResult<void> FakeRuntime::stop(const std::string& id, Seconds grace, const std::stop_token& stop) {
  Lock lock(mutex_);
  Item* item = find(id);
  const std::string name = item ? item->container.name : id;
  if (auto entered = enter(lock, Call::stop, fmt::format("stop {} {}", name, grace.count()), stop); !entered)
    return entered;
  item = find(id);
  if (item && item->container.state.running) end(lock, *item, 143, false);
  return {};
}

RuntimeResult<void> FakeRuntime::remove(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  Item* item = find(id);
  const std::string name = item ? item->container.name : id;
  if (auto entered = enter(lock, Call::remove, "remove " + name, stop); !entered) return entered;
  item = find(id);
  if (!item) return {};
  const std::string full_id = item->container.id;
  if (item->container.state.running) end(lock, *item, 137, false);
  item = find(full_id);
  if (!item) return {};
  emit(ContainerEventKind::destroy, *item);
  items_.erase(full_id);
  return {};
}

RuntimeResult<std::vector<ContainerSummary>> FakeRuntime::list(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::list, {}, stop); !entered) return std::unexpected(entered.error());
  std::vector<ContainerSummary> ours;
  for (const auto& [id, item] : items_) {
    const ContainerState& state = item.container.state;
    const auto label = state.labels.find(std::string(kInstanceLabel));
    if (item.foreign || label == state.labels.end() || label->second != instance_) continue;
    ours.push_back(
        {.id = id, .name = state.name, .image_id = state.image_id, .status = state.status, .labels = state.labels});
  }
  return ours;
}

RuntimeResult<ContainerState> FakeRuntime::inspect(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::inspect, {}, stop); !entered) return std::unexpected(entered.error());
  const Item* const item = find(id);
  if (!item) return runtime_fail(RuntimeFailure::not_found, "no such container");
  return item->container.state;
}

RuntimeResult<void> FakeRuntime::events(EngineTime since, const OnContainerEvent& on_event,
                                        const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::events, "events", stop); !entered) return entered;
  lock.unlock();
  on_event({.kind = ContainerEventKind::listen_again});
  lock.lock();
  while (true) {
    const auto next = std::ranges::find_if(events_, [&](const ContainerEvent& event) { return event.at > since; });
    if (next == events_.end()) {
      changed_.wait(lock, stop, [&] { return !events_.empty() && events_.back().at > since; });
      if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
      continue;
    }
    const ContainerEvent event = *next;  // NOLINT(performance-unnecessary-copy-initialization): outlives the lock
    since = event.at;
    lock.unlock();
    on_event(event);
    if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
    lock.lock();
  }
}

RuntimeResult<LogsEnd> FakeRuntime::logs(const std::string& id, EngineTime since, const OnContainerLogLine& on_line,
                                         const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::logs, {}, stop); !entered) return std::unexpected(entered.error());
  if (!find(id)) return runtime_fail(RuntimeFailure::not_found, "no such container");
  LogsEnd result{.last_at = since};
  while (const Item* const item = find(id)) {
    const auto next = std::ranges::find_if(item->log, [&](const LogRecord& line) { return line.at > result.last_at; });
    if (next == item->log.end()) {
      if (!item->container.state.running) break;
      changed_.wait(lock, stop, [&] {
        const Item* const now = find(id);
        return !now || !now->container.state.running || (!now->log.empty() && now->log.back().at > result.last_at);
      });
      if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
      continue;
    }
    const LogRecord line = *next;  // NOLINT(performance-unnecessary-copy-initialization): outlives the lock
    result.last_at = line.at;
    lock.unlock();
    on_line({.stream = line.stream, .at = line.at, .text = line.text});
    lock.lock();
  }
  return result;
}

RuntimeResult<ContainerCounters> FakeRuntime::stats(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::stats, {}, stop); !entered) return std::unexpected(entered.error());
  const Item* const item = find(id);
  if (!item) return runtime_fail(RuntimeFailure::not_found, "no such container");
  return item->counters;
}

}  // namespace ee::agent
