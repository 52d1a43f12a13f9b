#include "cp/http/rate_limits.h"

#include <cstdlib>

#include "cp/http/answers.h"
#include "net/client_address.h"

namespace ee::cp {

struct RateLimits::Buckets {
  explicit Buckets(const Clock& clock)
      : challenge({.count = 60, .period = Seconds(60), .burst = 30}, clock),
        challenges_in_all({.count = 1000, .period = Seconds(1), .burst = 1000}, clock, 16),
        registration({.count = 30, .period = Seconds(60), .burst = 10}, clock),
        own_quote({.count = 60, .period = Seconds(60), .burst = 60}, clock),
        agent({.count = 30, .period = Seconds(60), .burst = 20}, clock, 262144),
        agent_relay({.count = 60, .period = Seconds(60), .burst = 60}, clock),
        evidence({.count = 6, .period = Seconds(60), .burst = 6}, clock),
        read({.count = 50, .period = Seconds(1), .burst = 100}, clock),
        write({.count = 10, .period = Seconds(1), .burst = 30}, clock),
        admin({.count = 50, .period = Seconds(1), .burst = 100}, clock),
        sign_in({.count = 20, .period = Seconds(600), .burst = 20}, clock),
        webhook({.count = 100, .period = Seconds(1), .burst = 200}, clock),
        deploy({.count = 30, .period = Seconds(60), .burst = 30}, clock),
        preflight({.count = 60, .period = Seconds(60), .burst = 60}, clock) {}

  net::RateLimiter challenge;
  net::RateLimiter challenges_in_all;
  net::RateLimiter registration;
  net::RateLimiter own_quote;
  net::RateLimiter agent;
  net::RateLimiter agent_relay;
  net::RateLimiter evidence;
  net::RateLimiter read;
  net::RateLimiter write;
  net::RateLimiter admin;
  net::RateLimiter sign_in;
  net::RateLimiter webhook;
  net::RateLimiter deploy;
  net::RateLimiter preflight;

  net::RateLimiter* of(RateClass rate) {
    switch (rate) {
      case RateClass::none: return nullptr;
      case RateClass::challenge: return &challenge;
      case RateClass::registration: return &registration;
      case RateClass::own_quote: return &own_quote;
      case RateClass::agent: return &agent;
      case RateClass::agent_relay: return &agent_relay;
      case RateClass::evidence: return &evidence;
      case RateClass::read: return &read;
      case RateClass::write: return &write;
      case RateClass::admin: return &admin;
      case RateClass::sign_in: return &sign_in;
      case RateClass::webhook: return &webhook;
      case RateClass::deploy: return &deploy;
      case RateClass::preflight: return &preflight;
    }
    std::abort();
  }
  void scale(std::int64_t percent) {
    for (net::RateLimiter* limiter : {&challenge, &challenges_in_all, &registration, &own_quote, &agent, &agent_relay,
                                      &read, &write, &admin, &sign_in, &webhook, &deploy, &preflight, &evidence})
      limiter->set_scale_percent(percent);
  }
};

RateLimits::RateLimits(const Clock& clock, std::function<std::int64_t()> scale_percent,
                       std::function<void(std::string_view)> refused)
    : buckets_(std::make_unique<Buckets>(clock)),
      scale_percent_(std::move(scale_percent)),
      refused_(std::move(refused)) {}

RateLimits::~RateLimits() = default;

std::optional<RateRefusal> RateLimits::take(RateClass rate, std::string_view key) {
  net::RateLimiter* limiter = buckets_->of(rate);
  if (limiter == nullptr) return std::nullopt;
  // The setting may change while the process runs; a look at it now and then is enough.
  if (asked_.fetch_add(1) % 1024 == 0) buckets_->scale(scale_percent_());
  net::RateDecision decision = limiter->take(key);
  if (decision.allowed && rate == RateClass::challenge) decision = buckets_->challenges_in_all.take("all");
  if (decision.allowed) return std::nullopt;
  if (refused_) refused_(to_string(rate));
  return RateRefusal{.error = {.code = ErrorCode::rate_limited, .retry_after = decision.retry_after},
                     .decision = decision};
}

std::string_view to_string(RateClass rate) {
  switch (rate) {
    case RateClass::none: return "none";
    case RateClass::challenge: return "challenge";
    case RateClass::registration: return "registration";
    case RateClass::own_quote: return "own_quote";
    case RateClass::agent: return "agent";
    case RateClass::agent_relay: return "agent_relay";
    case RateClass::evidence: return "evidence";
    case RateClass::read: return "read";
    case RateClass::write: return "write";
    case RateClass::admin: return "admin";
    case RateClass::sign_in: return "sign_in";
    case RateClass::webhook: return "webhook";
    case RateClass::deploy: return "deploy";
    case RateClass::preflight: return "preflight";
  }
  std::abort();
}

net::Response rate_limited_answer(const RateRefusal& refusal, std::string_view request_id) {
  Error error = refusal.error;
  error.retry_after.reset();  // add_rate_headers says it
  net::Response response = error_answer(error, request_id);
  net::add_rate_headers(response.headers, refusal.decision);
  return response;
}

}  // namespace ee::cp
