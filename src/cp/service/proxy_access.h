#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "cp/service/authenticator.h"
#include "cp/service/failure_throttle.h"
#include "cp/service/route_table.h"
#include "cp/store/service_token_store.h"

namespace ee::cp {

/// What a proxied request says of its sender. Owns its texts: it may have to wait for a worker.
struct ProxyCredentials {
  std::string ee_authorization = {};  ///< `X-EE-Authorization`
  std::size_t ee_authorization_count = 0;
  std::string authorization = {};
  std::size_t authorization_count = 0;
  std::string cookie = {};  ///< empty where cookies are not looked at
  std::string client_address = {};
  std::string request_id = {};
};

struct ProxyCaller {
  std::string principal = {};       ///< for records; empty: not asked
  bool used_authorization = false;  ///< it must not reach the workload
};

/// Who may use a service (03 section 9.3). Thread-safe.
class ProxyAccess {
 public:
  static constexpr std::int64_t kFailuresPerMinute = 20;

  ProxyAccess(db::Database& database, CredentialCache& cache, Authenticator& authenticator, Clock& clock);

  /// Without waiting for anything; nothing: `check` must decide. Errors: those of `check`.
  std::optional<Result<ProxyCaller>> check_fast(const ServiceRoute& service, const ProxyCredentials& credentials);
  /// Blocks. Errors: proxy_auth_required, proxy_forbidden, rate_limited, auth_unavailable, invalid_request.
  Result<ProxyCaller> check(const ServiceRoute& service, const ProxyCredentials& credentials);
  /// After the COMMIT that revoked it.
  void forget_token(std::string_view token_id);

 private:
  struct Chosen;
  Chosen choose(const ServiceRoute& service, const ProxyCredentials& credentials) const;
  Result<void> check_throttle(const ProxyCredentials& credentials) const;
  Result<ProxyCaller> judge(const ServiceRoute& service, const Principal& principal, bool used_authorization) const;
  Result<ProxyCaller> refuse(const ProxyCredentials& credentials);
  std::optional<Result<ProxyCaller>> cached_token(const ServiceRoute& service, std::string_view token);
  Result<ProxyCaller> check_token(const ServiceRoute& service, const Credential& credential,
                                  const ProxyCredentials& credentials);
  CredentialCache::Now now() const { return {clock_.now(), clock_.steady_now()}; }

  db::Database& database_;
  CredentialCache& cache_;
  Authenticator& authenticator_;
  Clock& clock_;
  ServiceTokenStore tokens_;
  FailureThrottle failures_;
};

/// Whether an `Authorization` value is one of the platform's own credentials: they never reach a workload.
bool is_platform_authorization(std::string_view value);

}  // namespace ee::cp
