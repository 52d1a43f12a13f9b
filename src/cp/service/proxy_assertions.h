#pragma once
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/clock.h"
#include "cp/service/signing_keys.h"

namespace ee::cp {

/// Proofs to agents that a request comes through the proxy: compact JWS, `typ=ee-proxy+jwt` (03 section 9.3). One per
/// assignment each minute, good for two. Thread-safe.
class ProxyAssertions {
 public:
  static constexpr Seconds kReuse{60};
  static constexpr Seconds kLife{120};

  ProxyAssertions(const SigningKeys& keys, Clock& clock) : keys_(keys), clock_(clock) {}
  std::string get(const std::string& agent_id, const std::string& deployment_id, std::int64_t epoch);

 private:
  struct Made {
    std::string text;
    std::string agent_id;
    std::int64_t epoch = 0;
    SteadyTime at;
  };
  static constexpr std::size_t kMaxKept = 65536;

  const SigningKeys& keys_;
  Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Made> made_;  ///< by deployment: of its last assignment
};

}  // namespace ee::cp
