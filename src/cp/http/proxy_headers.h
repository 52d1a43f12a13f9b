#pragma once
#include <string>
#include <string_view>

#include "cp/service/route_table.h"
#include "net/proxy/response_head.h"
#include "net/server.h"

namespace ee::cp {

/// How a service is reached from outside.
struct ProxyMount {
  std::string service = {};
  bool path_mode = true;  ///< below `/proxy/{service}`; else on a host of its own

  /// `/proxy/{service}`, or empty.
  std::string prefix() const { return path_mode ? "/proxy/" + service : std::string(); }
};

/// The backend of one attempt, as the workload's agent must know it.
struct BackendHeaders {
  std::string_view host = {};  ///< of the backend's address, with its port
  std::string_view deployment_id = {};
  std::int64_t ingress_port = 0;
  std::string_view assertion = {};
};

/// What the service decides of its answers.
struct AnswerRules {
  bool shared = true;                 ///< caches that several people share may keep them: anybody may have them
  const ServiceCors* cors = nullptr;  ///< answered here; what the workload says of it is dropped
  std::string_view origin = {};       ///< for `Access-Control-Allow-Origin`; empty: the page may not read it
};

/// The fields of a request that are the same for every backend (03 section 9.5), made once.
struct ProxyRequestHead {
  std::string method = {};
  std::string target = {};         ///< the workload's path and query
  std::string fields = {};         ///< ready lines
  std::string authorization = {};  ///< passed on unless it was used for access
  bool wants_trailers = false;
};

/// `target`: the workload's path, byte for byte.
ProxyRequestHead make_request_head(const net::RequestHead& head, const ProxyMount& mount, std::string_view target);
/// Request line and fields for one backend.
void write_request_head(std::string& out, const ProxyRequestHead& head, const ProxyMount& mount,
                        const BackendHeaders& backend, bool drop_authorization);

/// The fields of an answer for the client.
void write_response_fields(std::string& out, const net::ResponseHead& head, const ProxyMount& mount,
                           const BackendHeaders& backend, const AnswerRules& rules);

/// `Cookie` without those of the platform; may be empty.
std::string without_platform_cookies(std::string_view cookie);
/// A `Set-Cookie` value for path mode; empty: it is dropped.
std::string rewrite_set_cookie(std::string_view value, std::string_view prefix);
/// A `Location` value: on the backend's own host, and paths, lead back to the proxy; others stay.
std::string rewrite_location(std::string_view value, std::string_view backend_host, std::string_view prefix);

}  // namespace ee::cp
