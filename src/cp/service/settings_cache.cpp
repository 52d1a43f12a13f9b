#include "cp/service/settings_cache.h"

namespace ee::cp {

namespace {
constexpr int kUsableTtls = 12;
}

SettingsCache::SettingsCache(SettingsPtr first, Milliseconds ttl, Clock& clock, Read read,
                             std::function<void(const SettingsSnapshot&)> replaced,
                             std::function<void(const Error&)> failed)
    : ttl_(ttl),
      clock_(clock),
      read_(std::move(read)),
      replaced_(std::move(replaced)),
      failed_(std::move(failed)),
      current_(std::move(first)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

SettingsCache::~SettingsCache() {
  thread_.request_stop();
  thread_.join();
}

SettingsPtr SettingsCache::get() {
  const SteadyTime tried = last_attempt_.load();
  if (tried == SteadyTime::max()) return current();
  const SteadyTime now = clock_.steady_now();
  if (now - tried <= ttl_) return current();
  if (!wanted_.exchange(true)) {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  if (now - last_success_.load() > kUsableTtls * ttl_) wait_for_reload();
  return current();
}

void SettingsCache::refresh() {
  if (last_attempt_.load() == SteadyTime::max()) return;  // load() will read what there is then
  const std::lock_guard lock(mutex_);
  ++refreshes_;
  wanted_ = true;
  changed_.notify_all();
}

void SettingsCache::wait_for_reload() {
  std::unique_lock lock(mutex_);
  const std::uint64_t before = attempts_;
  changed_.wait_for(lock, SettingsService::kMaxWait, [&] { return attempts_ != before || !wanted_.load(); });
}

void SettingsCache::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return wanted_.load(); })) return;
    }
    attempt();
  }
}

void SettingsCache::attempt() {
  const std::uint64_t asked = [this] {
    const std::lock_guard lock(mutex_);
    return refreshes_;
  }();
  auto fresh = read_();
  if (fresh) {
    replace(*fresh);
  } else {
    failed_(fresh.error());
  }
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  if (fresh) {
    last_success_ = now;
    failing_since_.reset();
  } else if (!failing_since_) {
    failing_since_ = now;
  }
  last_attempt_ = now;
  ++attempts_;
  wanted_ = refreshes_ != asked;  // what was written while this one read may not be in it
  changed_.notify_all();
}

Result<void> SettingsCache::load() {
  auto fresh = read_();
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  replace(*fresh);
  last_success_ = clock_.steady_now();
  last_attempt_ = clock_.steady_now();
  return {};
}

void SettingsCache::replace(const SettingsPtr& fresh) {
  const std::lock_guard lock(replace_mutex_);
  const SettingsPtr before = current();
  // A reload that read before a write of this process must not undo it.
  if (fresh->version() < before->version()) return;
  // The version alone would miss a row that somebody changed by hand.
  const bool changed = fresh->version() != before->version() || fresh->stored() != before->stored();
  {
    const std::lock_guard current_lock(current_mutex_);
    current_ = fresh;
  }
  if (changed) replaced_(*fresh);
}

Milliseconds SettingsCache::failing_for() const {
  const std::lock_guard lock(mutex_);
  if (!failing_since_) return Milliseconds(0);
  // At least one: zero means that nothing fails.
  return std::max(Milliseconds(1), std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - *failing_since_));
}

void SettingsCache::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !wanted_.load(); });
}

}  // namespace ee::cp
