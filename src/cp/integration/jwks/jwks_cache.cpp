#include "cp/integration/jwks/jwks_cache.h"

#include <utility>

#include "common/log.h"

namespace ee::cp {

std::string_view to_string(JwksFetch result) {
  switch (result) {
    case JwksFetch::ok: return "ok";
    case JwksFetch::unreachable: return "unreachable";
    case JwksFetch::bad_answer: return "bad_answer";
    case JwksFetch::stopped: return "stopped";
  }
  return "bad_answer";
}

JwksCache::JwksCache(HttpClient& http, Clock& clock, Random& random, JwksLimits limits)
    : http_(http), clock_(clock), random_(random), limits_(std::move(limits)) {}

Result<JwksCache::Keys> JwksCache::keys_for(std::string_view kid, const JwksSettings& settings,
                                            const std::stop_token& stop) {
  Lock lock(mutex_);
  adopt(settings);
  auto keys = found_or_fetched(lock, kid, settings, stop);
  if (keys) used_ = true;
  const bool wake = keys && should_wake(settings);
  lock.unlock();
  if (wake) limits_.wake_refresh();
  return keys;
}

Result<JwksCache::Keys> JwksCache::found_or_fetched(Lock& lock, std::string_view kid, const JwksSettings& settings,
                                                    const std::stop_token& stop) {
  bool just_fetched = false;
  if (!is_within(settings, Seconds(0))) {
    auto fetched = fetch(lock, settings, stop);
    if (!fetched) {
      if (!is_within(settings, settings.max_stale)) return std::unexpected(std::move(fetched.error()));
      if (!set_->contains(kid)) return fail(limits_.unavailable, "keys are stale and have no such key");
      return Keys{.set = set_, .stale = true};
    }
    just_fetched = true;
  }
  if (set_->contains(kid)) return Keys{.set = set_};
  if (just_fetched) return fail(limits_.unknown_key);
  return forced(lock, kid, settings, stop);
}

Result<JwksCache::Keys> JwksCache::forced(Lock& lock, std::string_view kid, const JwksSettings& settings,
                                          const std::stop_token& stop) {
  if (forced_at_ && clock_.steady_now() - *forced_at_ < limits_.forced_interval && !in_flight_)
    return forced_failed_ ? fail(limits_.unavailable, "keys could not be fetched") : fail(limits_.unknown_key);
  if (!in_flight_) forced_at_ = clock_.steady_now();
  auto fetched = fetch(lock, settings, stop);
  forced_failed_ = !fetched;
  if (!fetched) return std::unexpected(std::move(fetched.error()));
  if (!set_->contains(kid)) return fail(limits_.unknown_key);
  return Keys{.set = set_};
}

Result<void> JwksCache::refresh(const JwksSettings& settings, const std::stop_token& stop) {
  Lock lock(mutex_);
  adopt(settings);
  failed_at_.reset();  // the job keeps its own pace
  return fetch(lock, settings, stop);
}

Result<bool> JwksCache::refresh_due(const JwksSettings& settings, const std::stop_token& stop) {
  {
    const Lock lock(mutex_);
    adopt(settings);
    if (!is_due(settings)) return false;
  }
  if (auto done = refresh(settings, stop); !done) return std::unexpected(std::move(done.error()));
  return true;
}

bool JwksCache::is_due(const JwksSettings& settings) const {
  if (set_ == nullptr || !used_) return false;
  const Milliseconds due = Milliseconds(settings.ttl) * limits_.refresh_percent / 100;
  return clock_.steady_now() - fetched_at_ >= due;
}

bool JwksCache::should_wake(const JwksSettings& settings) {
  if (!limits_.wake_refresh || in_flight_ || !is_due(settings)) return false;
  const SteadyTime now = clock_.steady_now();
  if (woke_at_ && now - *woke_at_ < limits_.failure_memory) return false;
  woke_at_ = now;
  return true;
}

/// Another URL or issuer: nothing of the old one counts any more.
void JwksCache::adopt(const JwksSettings& settings) {
  if (url_ == settings.url && issuer_ == settings.issuer) return;
  url_ = settings.url;
  issuer_ = settings.issuer;
  ++epoch_;
  set_.reset();
  failed_at_.reset();
  forced_at_.reset();
  woke_at_.reset();
  forced_failed_ = false;
}

bool JwksCache::is_within(const JwksSettings& settings, Seconds extra) const {
  return set_ != nullptr && clock_.steady_now() - fetched_at_ < settings.ttl + extra;
}

/// Fetches, or waits for the one who does. On return without error `set_` is what that fetch brought.
Result<void> JwksCache::fetch(Lock& lock, const JwksSettings& settings, const std::stop_token& stop) {
  const auto unavailable = [&](std::string_view detail) { return fail(limits_.unavailable, std::string(detail)); };
  while (in_flight_) {
    if (waiting_ >= limits_.max_waiting) return unavailable("too many requests wait for the keys");
    const std::uint64_t awaited = flights_;
    ++waiting_;
    const bool landed = fetched_.wait(lock, stop, [&] { return flights_ != awaited; });
    --waiting_;
    if (!landed) return unavailable("stopped");
    if (url_ != settings.url || issuer_ != settings.issuer) return unavailable("settings changed");
    if (last_flight_epoch_ != epoch_ || last_flight_ == JwksFetch::stopped) continue;  // it was not about these keys
    if (last_flight_ == JwksFetch::ok) return {};
    return unavailable("keys could not be fetched");
  }
  if (failed_at_ && clock_.steady_now() - *failed_at_ < limits_.failure_memory)
    return unavailable("keys could not be fetched a moment ago");
  in_flight_ = true;
  const std::uint64_t epoch = epoch_;
  lock.unlock();
  auto downloaded = download(settings.url, stop);
  lock.lock();
  in_flight_ = false;
  ++flights_;
  fetched_.notify_all();
  last_flight_epoch_ = epoch;
  last_flight_ = downloaded ? JwksFetch::ok : downloaded.error();
  if (limits_.on_fetch) limits_.on_fetch(last_flight_);
  if (last_flight_ == JwksFetch::stopped) return unavailable("stopped");
  if (epoch != epoch_) return unavailable("settings changed");
  if (!downloaded) {
    log::warn("jwks", "keys could not be fetched", {{"result", to_string(last_flight_)}, {"url", url_}});
    failed_at_ = clock_.steady_now();
    return unavailable("keys could not be fetched: " + std::string(to_string(last_flight_)));
  }
  set_ = std::make_shared<const jose::KeySet>(std::move(*downloaded));
  fetched_at_ = clock_.steady_now();
  used_ = false;
  failed_at_.reset();
  return {};
}

std::expected<jose::KeySet, JwksFetch> JwksCache::download(const std::string& url, const std::stop_token& stop) const {
  for (const JwksRetryDelay& delay : limits_.retry_delays) {
    auto keys = download_once(url, stop);
    if (keys || keys.error() != JwksFetch::unreachable) return keys;
    if (!clock_.sleep_for(Milliseconds(random_.between(delay.least.count(), delay.most.count())), stop))
      return std::unexpected(JwksFetch::stopped);
  }
  return download_once(url, stop);
}

std::expected<jose::KeySet, JwksFetch> JwksCache::download_once(const std::string& url,
                                                                const std::stop_token& stop) const {
  const auto answer = http_.send({.url = url,
                                  .headers = {{"Accept", "application/json"}},
                                  .connect_timeout = limits_.connect_timeout,
                                  .total_timeout = limits_.total_timeout,
                                  .max_response_bytes = limits_.max_bytes,
                                  .stop = stop});
  if (!answer) {
    switch (answer.error()) {
      case HttpFailure::cancelled: return std::unexpected(JwksFetch::stopped);
      case HttpFailure::answer_too_large:
      case HttpFailure::bad_url:
      case HttpFailure::address_refused: return std::unexpected(JwksFetch::bad_answer);
      case HttpFailure::resolve:
      case HttpFailure::connect:
      case HttpFailure::tls:
      case HttpFailure::timeout:
      case HttpFailure::protocol: return std::unexpected(JwksFetch::unreachable);
    }
  }
  if (answer->status == 429 || answer->status >= 500) return std::unexpected(JwksFetch::unreachable);
  if (answer->status != 200) return std::unexpected(JwksFetch::bad_answer);
  auto keys = jose::KeySet::parse(answer->body, limits_.max_bytes, limits_.max_keys);
  if (!keys || keys->size() == 0) return std::unexpected(JwksFetch::bad_answer);
  return std::move(*keys);
}

std::size_t JwksCache::key_count() const {
  const std::lock_guard lock(mutex_);
  return set_ ? set_->size() : 0;
}

std::optional<Milliseconds> JwksCache::age() const {
  const std::lock_guard lock(mutex_);
  if (set_ == nullptr) return std::nullopt;
  return std::chrono::floor<Milliseconds>(clock_.steady_now() - fetched_at_);
}

}  // namespace ee::cp
