#include "cp/service/proxy_assertions.h"

#include <boost/describe.hpp>

#include "common/json.h"

namespace ee::cp {
namespace {

struct AssertionClaims {
  std::string iss = "easyenclave-cp";
  std::string aud = {};
  std::string dep = {};
  std::int64_t epoch = 0;
  std::int64_t iat = 0;
  std::int64_t exp = 0;
};
BOOST_DESCRIBE_STRUCT(AssertionClaims, (), (iss, aud, dep, epoch, iat, exp))

}  // namespace

std::string ProxyAssertions::get(const std::string& agent_id, const std::string& deployment_id, std::int64_t epoch) {
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  const auto found = made_.find(deployment_id);
  if (found != made_.end() && found->second.epoch == epoch && found->second.agent_id == agent_id &&
      now - found->second.at < kReuse)
    return found->second.text;
  if (made_.size() >= kMaxKept)
    std::erase_if(made_, [&](const auto& entry) { return now - entry.second.at >= kReuse; });
  if (made_.size() >= kMaxKept) made_.clear();
  const std::int64_t issued = std::chrono::floor<Seconds>(clock_.now()).time_since_epoch().count();
  const AssertionClaims claims{
      .aud = agent_id, .dep = deployment_id, .epoch = epoch, .iat = issued, .exp = issued + kLife.count()};
  Made& made = made_[deployment_id];
  made = {
      .text = keys_.sign_token("ee-proxy+jwt", json::write(claims)), .agent_id = agent_id, .epoch = epoch, .at = now};
  return made.text;
}

}  // namespace ee::cp
