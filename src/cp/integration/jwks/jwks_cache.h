#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/http_client.h"
#include "common/jose.h"
#include "common/random.h"

namespace ee::cp {

/// Where the keys are, and how long they count. From settings, given with each call, so that a change works at once.
struct JwksSettings {
  std::string url;
  std::string issuer;  ///< whose keys they are: with another issuer, or URL, the cache starts anew
  Seconds ttl{3600};
  Seconds max_stale{0};  ///< how long after the TTL the keys still count when they cannot be fetched
};

/// How a fetch of keys ended: the closed set of a metric's labels. `stopped` says nothing about the service.
enum class JwksFetch : std::uint8_t { ok, unreachable, bad_answer, stopped };
std::string_view to_string(JwksFetch result);

/// The wait before a repeated fetch: at random between the two.
struct JwksRetryDelay {
  Milliseconds least;
  Milliseconds most;
};

/// What differs between the services whose keys are cached.
struct JwksLimits {
  Milliseconds connect_timeout{5'000};
  Milliseconds total_timeout{10'000};
  std::size_t max_bytes = 1024UL * 1024;
  std::size_t max_keys = 64;
  Seconds forced_interval{60};  ///< between two fetches because of unknown kids
  Seconds failure_memory{5};    ///< a failed fetch is not repeated for so long
  /// After no answer, 429 or 5xx.
  std::vector<JwksRetryDelay> retry_delays = {{.least = Milliseconds(0), .most = Milliseconds(500)}};
  /// Callers that wait for somebody else's fetch; further ones get `unavailable` at once, so that a slow service cannot
  /// hold every worker.
  std::size_t max_waiting = 1024;
  std::int64_t refresh_percent = 100;  ///< of the TTL: after so much of it, keys that are used should be fetched again
  /// Asks for `refresh_due` to be called soon, at most once per `failure_memory`. Must not block.
  std::function<void()> wake_refresh = {};
  ErrorCode unavailable = ErrorCode::verifier_unavailable;
  ErrorCode unknown_key = ErrorCode::ita_key_unknown;
  std::function<void(JwksFetch)> on_fetch = {};  ///< after each fetch: a metric. Must not call the cache
};

/// The keys of a token issuer, fetched when they are needed. However many ask at once, one of them fetches and the
/// others wait for it. Thread-safe; calls block while keys are fetched, at most `total_timeout` per try, or until
/// stopped.
class JwksCache {
 public:
  JwksCache(HttpClient& http, Clock& clock, Random& random, JwksLimits limits = {});

  struct Keys {
    std::shared_ptr<const jose::KeySet> set;
    bool stale = false;  ///< older than the TTL: the caller adds a warning
  };
  /// A set that has a key of that id. Errors: `unavailable` (expired and not to be had, also when a set that might have
  /// the key cannot be fetched), `unknown_key`.
  [[nodiscard]] Result<Keys> keys_for(std::string_view kid, const JwksSettings& settings, const std::stop_token& stop);

  /// Fetches now, for the background job that runs at half of the TTL. A failure leaves what there is.
  Result<void> refresh(const JwksSettings& settings, const std::stop_token& stop);
  /// The same, if the keys have been used since they came and `refresh_percent` of their TTL is over; whether it
  /// fetched.
  Result<bool> refresh_due(const JwksSettings& settings, const std::stop_token& stop);

  /// Time since the last successful fetch; nothing before it. For metrics.
  std::optional<Milliseconds> age() const;
  /// How many keys are cached.
  std::size_t key_count() const;

 private:
  using Lock = std::unique_lock<std::mutex>;

  void adopt(const JwksSettings& settings);
  bool is_within(const JwksSettings& settings, Seconds extra) const;
  bool is_due(const JwksSettings& settings) const;
  bool should_wake(const JwksSettings& settings);
  Result<Keys> found_or_fetched(Lock& lock, std::string_view kid, const JwksSettings& settings,
                                const std::stop_token& stop);
  Result<void> fetch(Lock& lock, const JwksSettings& settings, const std::stop_token& stop);
  Result<Keys> forced(Lock& lock, std::string_view kid, const JwksSettings& settings, const std::stop_token& stop);
  std::expected<jose::KeySet, JwksFetch> download(const std::string& url, const std::stop_token& stop) const;
  std::expected<jose::KeySet, JwksFetch> download_once(const std::string& url, const std::stop_token& stop) const;

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  const JwksLimits limits_;

  mutable std::mutex mutex_;
  std::condition_variable_any fetched_;
  std::string url_;
  std::string issuer_;
  std::uint64_t epoch_ = 0;  ///< goes up with each change of URL or issuer
  std::shared_ptr<const jose::KeySet> set_;
  SteadyTime fetched_at_{};
  bool used_ = false;  ///< since they were fetched
  std::optional<SteadyTime> failed_at_;
  std::optional<SteadyTime> forced_at_;
  std::optional<SteadyTime> woke_at_;
  bool forced_failed_ = false;
  std::size_t waiting_ = 0;
  bool in_flight_ = false;
  std::uint64_t flights_ = 0;  ///< ended
  std::uint64_t last_flight_epoch_ = 0;
  JwksFetch last_flight_ = JwksFetch::stopped;
};

}  // namespace ee::cp
