#include "agent/runtime/fake_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include "common/bytes.h"
#include "common/crypto.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxKept = 4096;  ///< calls and events

std::string image_id(const std::string& reference) { return "sha256:" + to_hex(sha256(bytes_of(reference))); }

bool has_label(const Labels& labels, std::string_view value) {
  const auto found = labels.find(std::string(kInstanceLabel));
  return found != labels.end() && found->second == value;
}

template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

}  // namespace

FakeRuntime::FakeRuntime(Clock& clock, std::string instance) : clock_(clock), instance_(std::move(instance)) {}
FakeRuntime::~FakeRuntime() = default;

RuntimeResult<void> FakeRuntime::enter(Lock& lock, Call call, std::string record, const std::stop_token& stop) {
  if (!record.empty() && calls_.size() < kMaxKept) calls_.push_back(std::move(record));
  if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
  if (hanging_.contains(call)) {
    ++waiting_[call];
    changed_.notify_all();
    changed_.wait(lock, stop, [&] { return !hanging_.contains(call); });
    --waiting_[call];
    if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
  }
  if (!reachable_) return runtime_fail(RuntimeFailure::unavailable, "the fake engine is switched off");
  auto& queue = failures_[call];
  if (queue.empty()) return {};
  RuntimeError error = std::move(queue.front());
  queue.pop_front();
  return std::unexpected(std::move(error));
}

FakeRuntime::Item* FakeRuntime::find(const std::string& id_or_name) {
  if (const auto found = items_.find(id_or_name); found != items_.end()) return &found->second;
  for (auto& [id, item] : items_)
    if (item.container.name == id_or_name) return &item;
  return nullptr;
}

EngineTime FakeRuntime::tick() {
  last_tick_ = std::max(unix_ms(clock_.now()) * 1'000'000, last_tick_ + 1);
  return last_tick_;
}

void FakeRuntime::emit(ContainerEventKind kind, const Item& item) {
  if (events_.size() == kMaxKept) events_.pop_front();
  events_.push_back({.kind = kind, .container_id = item.container.id, .at = tick()});
  changed_.notify_all();
}

void FakeRuntime::end(Lock& lock, Item& item, std::int64_t exit_code, bool oom_killed) {
  ContainerState& state = item.container.state;
  state.status = ContainerStatus::exited;
  state.running = false;
  state.exit_code = exit_code;
  state.oom_killed = oom_killed;
  state.pid = 0;
  state.finished_at = clock_.now();
  if (oom_killed) emit(ContainerEventKind::oom, item);
  emit(ContainerEventKind::die, item);
  if (const auto ended = watch_.ended) {
    const std::string id = item.container.id;
    lock.unlock();
    ended(id);
    lock.lock();
  }
}

// ---- script and what happened
// ----------------------------------------------------------------------------------------

void FakeRuntime::add_image(const std::string& reference, FakeImage image, bool local) {
  const std::lock_guard lock(mutex_);
  if (image.info.id.empty()) image.info.id = image_id(reference);
  if (image.info.config.empty()) image.info.config = "{}";
  if (local) local_[reference] = image;
  registry_[reference] = std::move(image);
}

void FakeRuntime::set_any_image(bool on) {
  const std::lock_guard lock(mutex_);
  any_image_ = on;
}

void FakeRuntime::fail_next(Call call, const RuntimeError& error, int times) {
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < times; ++i) failures_[call].push_back(error);
}

void FakeRuntime::hang(Call call) {
  const std::lock_guard lock(mutex_);
  hanging_.insert(call);
}

void FakeRuntime::release(Call call) {
  const std::lock_guard lock(mutex_);
  hanging_.erase(call);
  changed_.notify_all();
}

void FakeRuntime::wait_until_hanging(Call call) {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_[call] > 0; });
}

void FakeRuntime::set_reachable(bool on) {
  const std::lock_guard lock(mutex_);
  reachable_ = on;
}

void FakeRuntime::restart() {
  Lock lock(mutex_);
  ++interruptions_;
  std::vector<std::string> running;
  for (const auto& [id, item] : items_)
    if (item.container.state.running) running.push_back(id);
  for (const std::string& id : running)
    if (Item* const item = find(id)) end(lock, *item, 137, false);
}

std::int64_t FakeRuntime::interruptions() const {
  const std::lock_guard lock(mutex_);
  return interruptions_;
}

bool FakeRuntime::reachable() const {
  const std::lock_guard lock(mutex_);
  return reachable_;
}

void FakeRuntime::set_watch(Watch watch) {
  const std::lock_guard lock(mutex_);
  watch_ = std::move(watch);
}

void FakeRuntime::exit_container(const std::string& id_or_name, std::int64_t exit_code, bool oom_killed) {
  Lock lock(mutex_);
  if (Item* const item = find(id_or_name); item && item->container.state.running)
    end(lock, *item, exit_code, oom_killed);
}

void FakeRuntime::set_health(const std::string& id_or_name, ContainerHealth health) {
  const std::lock_guard lock(mutex_);
  Item* const item = find(id_or_name);
  if (!item) return;
  item->container.state.health = health;
  emit(ContainerEventKind::health_status, *item);
}

void FakeRuntime::write_log(const std::string& id_or_name, LogStream stream, std::string text) {
  const std::lock_guard lock(mutex_);
  Item* const item = find(id_or_name);
  if (!item) return;
  item->log.push_back({.stream = stream, .at = tick(), .text = std::move(text)});
  changed_.notify_all();
}

void FakeRuntime::set_counters(const std::string& id_or_name, ContainerCounters counters) {
  const std::lock_guard lock(mutex_);
  if (Item* const item = find(id_or_name)) item->counters = counters;
}

void FakeRuntime::add_foreign_container(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Item item;
  item.foreign = true;
  item.container.id = fmt::format("{:064x}", next_++);
  item.container.name = name;
  items_.emplace(item.container.id, std::move(item));
}

std::vector<FakeRuntime::Container> FakeRuntime::containers() const {
  const std::lock_guard lock(mutex_);
  std::vector<Container> all;
  for (const auto& [id, item] : items_)
    if (!item.foreign) all.push_back(item.container);
  return all;
}

std::optional<FakeRuntime::Container> FakeRuntime::container(const std::string& id_or_name) const {
  for (Container& each : containers())
    if (each.id == id_or_name || each.name == id_or_name) return std::move(each);
  return std::nullopt;
}

std::vector<std::string> FakeRuntime::networks() const {
  const std::lock_guard lock(mutex_);
  return keys_of(networks_);
}

std::vector<std::string> FakeRuntime::volumes() const {
  const std::lock_guard lock(mutex_);
  return keys_of(volumes_);
}

std::vector<std::string> FakeRuntime::local_images() const {
  const std::lock_guard lock(mutex_);
  return keys_of(local_);
}

std::vector<std::string> FakeRuntime::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::optional<std::string> FakeRuntime::last_pull_account() const {
  const std::lock_guard lock(mutex_);
  return last_pull_account_;
}

// ---- engine, images ----------------------------------------------------------------------------------------------

RuntimeResult<RuntimeInfo> FakeRuntime::probe(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::probe, "probe", stop); !entered) return std::unexpected(entered.error());
  return RuntimeInfo{.name = "fake",
                     .version = "1",
                     .api_version = "1.41",
                     .cgroup_version = 2,
                     .nvidia = false,
                     .root_directory = "/"};
}

RuntimeResult<void> FakeRuntime::pull(const std::string& reference, const RegistryCredentials* credentials,
                                      const OnPullProgress& on_progress, const std::stop_token& stop) {
  Lock lock(mutex_);
  last_pull_account_.reset();
  if (credentials) last_pull_account_ = credentials->server + " " + credentials->username;
  if (auto entered = enter(lock, Call::pull, "pull " + reference, stop); !entered) return entered;
  if (any_image_ && !registry_.contains(reference)) {
    FakeImage image;
    image.info = {.id = image_id(reference), .config = "{}"};
    registry_[reference] = std::move(image);
  }
  const auto found = registry_.find(reference);
  if (found == registry_.end()) return runtime_fail(RuntimeFailure::pull_refused, "manifest unknown");
  local_[reference] = found->second;
  lock.unlock();
  if (on_progress) {
    on_progress({.current_bytes = 50, .total_bytes = 100, .layers_done = 0, .layers = 1});
    on_progress({.current_bytes = 100, .total_bytes = 100, .layers_done = 1, .layers = 1});
  }
  return {};
}

RuntimeResult<ImageInfo> FakeRuntime::image(const std::string& reference, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::image, "image " + reference, stop); !entered)
    return std::unexpected(entered.error());
  const auto found = local_.find(reference);
  if (found == local_.end()) return runtime_fail(RuntimeFailure::not_found, "no such image");
  return found->second.info;
}

RuntimeResult<std::int64_t> FakeRuntime::prune_images(const std::vector<std::string>& ids,
                                                      const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::prune_images, "prune_images", stop); !entered)
    return std::unexpected(entered.error());
  std::int64_t removed = 0;
  for (const std::string& id : ids) {
    const bool used = std::ranges::any_of(items_, [&](const auto& entry) {
      return !entry.second.foreign && entry.second.container.state.image_id == id;
    });
    if (used) continue;
    std::erase_if(local_, [&](const auto& entry) { return entry.second.info.id == id; });
    ++removed;
  }
  return removed;
}

// ---- networks and volumes ----------------------------------------------------------------------------------------

RuntimeResult<NetworkInfo> FakeRuntime::create_network(const NetworkSpec& spec, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::create_network, "create_network " + spec.name, stop); !entered)
    return std::unexpected(entered.error());
  if (const auto found = networks_.find(spec.name); found != networks_.end()) {
    if (!has_label(found->second.labels, instance_)) return runtime_fail(RuntimeFailure::refused, "the name is taken");
    networks_.erase(found);
  }
  const std::int64_t number = next_++;
  NetworkInfo made{.id = fmt::format("{:064x}", number),
                   .name = spec.name,
                   .subnets = {fmt::format("172.{}.{}.0/24", 20 + number / 256 % 12, number % 256)},
                   .labels = spec.labels};
  networks_[spec.name] = made;
  return made;
}

RuntimeResult<void> FakeRuntime::remove_network(const std::string& id, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::remove_network, "remove_network " + id, stop); !entered) return entered;
  const auto found =
      std::ranges::find_if(networks_, [&](const auto& entry) { return entry.first == id || entry.second.id == id; });
  if (found == networks_.end()) return {};
  const bool used = std::ranges::any_of(items_, [&](const auto& entry) {
    const auto& joined = entry.second.networks;
    return entry.second.container.state.running && std::ranges::find(joined, found->first) != joined.end();
  });
  if (used) return runtime_fail(RuntimeFailure::refused, "network has active endpoints");
  networks_.erase(found);
  return {};
}

RuntimeResult<std::vector<NetworkInfo>> FakeRuntime::list_networks(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::list_networks, {}, stop); !entered) return std::unexpected(entered.error());
  std::vector<NetworkInfo> ours;
  for (const auto& [name, network] : networks_)
    if (has_label(network.labels, instance_)) ours.push_back(network);
  return ours;
}

RuntimeResult<void> FakeRuntime::create_volume(const VolumeInfo& spec, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::create_volume, "create_volume " + spec.name, stop); !entered) return entered;
  const auto found = volumes_.find(spec.name);
  if (found != volumes_.end() && !has_label(found->second.labels, instance_))
    return runtime_fail(RuntimeFailure::refused, "the name is taken");
  if (found == volumes_.end()) volumes_[spec.name] = spec;
  return {};
}

RuntimeResult<void> FakeRuntime::remove_volume(const std::string& name, const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::remove_volume, "remove_volume " + name, stop); !entered) return entered;
  volumes_.erase(name);
  return {};
}

RuntimeResult<std::vector<VolumeInfo>> FakeRuntime::list_volumes(const std::stop_token& stop) {
  Lock lock(mutex_);
  if (auto entered = enter(lock, Call::list_volumes, {}, stop); !entered) return std::unexpected(entered.error());
  std::vector<VolumeInfo> ours;
  for (const auto& [name, volume] : volumes_)
    if (has_label(volume.labels, instance_)) ours.push_back(volume);
  return ours;
}

}  // namespace ee::agent
