#include "agent/runtime/log_collectors.h"

#include <algorithm>
#include <condition_variable>
#include <vector>

#include "common/log.h"

namespace ee::agent {
namespace {

constexpr Seconds kRetryPause{5};

}  // namespace

struct LogCollectors::Collector {
  LogSource source;
  std::string container_id;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::int64_t asked = 1;  // how often `attach` was called
  std::int64_t done = 0;   // of these, how many have been followed to their end
  std::stop_source stop;
  std::thread thread;
};

LogCollectors::~LogCollectors() {
  std::vector<std::string> ids;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, collector] : collectors_) {
      collector->stop.request_stop();
      ids.push_back(id);
    }
  }
  for (const std::string& id : ids) detach(id);
}

void LogCollectors::attach(const LogSource& source, const std::string& container_id) {
  const std::lock_guard lock(mutex_);
  auto& slot = collectors_[container_id];
  if (slot) {
    const std::lock_guard own(slot->mutex);
    ++slot->asked;
    slot->changed.notify_all();
    return;
  }
  slot = std::make_shared<Collector>();
  slot->source = source;
  slot->container_id = container_id;
  slot->thread = std::thread([this, collector = slot.get()] { run(*collector, collector->stop.get_token()); });
}

void LogCollectors::detach(const std::string& container_id) {
  std::shared_ptr<Collector> collector;
  {
    const std::lock_guard lock(mutex_);
    const auto found = collectors_.find(container_id);
    if (found == collectors_.end()) return;
    collector = std::move(found->second);
    collectors_.erase(found);
  }
  collector->stop.request_stop();
  collector->thread.join();
  const std::lock_guard own(collector->mutex);
  collector->changed.notify_all();
}

void LogCollectors::drain(const std::string& container_id, const std::stop_token& stop) {
  std::shared_ptr<Collector> collector;
  {
    const std::lock_guard lock(mutex_);
    const auto found = collectors_.find(container_id);
    if (found == collectors_.end()) return;
    collector = found->second;
  }
  std::unique_lock lock(collector->mutex);
  collector->changed.wait(lock, stop,
                          [&] { return collector->done >= collector->asked || collector->stop.stop_requested(); });
}

void LogCollectors::run(Collector& collector, const std::stop_token& stop) {
  EngineTime last = 0;
  while (!stop.stop_requested()) {
    std::int64_t asked = 0;
    {
      std::unique_lock lock(collector.mutex);
      collector.changed.wait(lock, stop, [&] { return collector.asked > collector.done; });
      asked = collector.asked;
    }
    if (stop.stop_requested()) return;
    const auto ended = runtime_.logs(
        collector.container_id, last,
        [&](const ContainerLogLine& line) {
          last = std::max(last, line.at);
          ring_.append(collector.source, line);
        },
        stop);
    const bool gone = !ended && ended.error().failure == RuntimeFailure::not_found;
    if (ended || gone) {
      const std::lock_guard lock(collector.mutex);
      collector.done = asked;
      collector.changed.notify_all();
      continue;
    }
    if (stop.stop_requested()) return;
    log::warn("logs", "the logs of a container cannot be read",
              {{"service", collector.source.service}, {"detail", ended.error().detail}});
    if (!clock_.sleep_for(kRetryPause, stop)) return;
  }
}

}  // namespace ee::agent
