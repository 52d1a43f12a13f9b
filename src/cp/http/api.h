#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/http/rate_limits.h"
#include "cp/http/route.h"
#include "cp/service/authenticator.h"
#include "net/router.h"
#include "net/server.h"

namespace ee::cp {

/// What the HTTP layer tells the rest of the process.
struct ApiHooks {
  /// Requests that are not for a route of the table but for a workload.
  std::function<std::shared_ptr<net::StreamHandler>(const net::RequestHead&)> open_stream = {};
  std::function<bool(std::string_view origin)> allows_origin = {};
  /// After each answer: access log and metrics.
  std::function<void(const net::AccessRecord&)> observe = {};
  /// A known caller is not allowed to use this route: for the audit log. Runs on the worker that answers.
  std::function<void(const Route&, const Call&, const Error&)> refused = {};
  /// What routes that do not go on in maintenance answer now; nothing: they do their work. Runs on an io thread.
  std::function<std::optional<Error>()> maintenance = {};
};

/// The control plane's HTTP application: finds the route, takes from the rate bucket, authenticates, applies the access
/// rule of the route table, calls the handler, and turns errors into problem answers. Thread-safe.
class Api final : public net::Application {
 public:
  /// `routes` is the whole table; a pattern that stands in it twice, or an access rule that cannot stand at its
  /// pattern, is a broken invariant: the process does not start. The references outlive this.
  Api(std::vector<Route> routes, Authenticator& authenticator, RateLimits& limits, ApiHooks hooks);

  const std::vector<Route>& routes() const { return routes_; }

  std::shared_ptr<net::StreamHandler> open_stream(const net::RequestHead& head) override;
  net::Admission admit(const net::RequestHead& head) override;
  std::optional<net::Response> try_fast(net::Request& request) override;
  net::Response handle(net::Request&& request) override;
  void observe(const net::AccessRecord& record) override;
  bool allows_origin(std::string_view origin) override;

 private:
  static bool is_keyed_by_address(const Route& route);
  Result<net::Response> run(const Route& route, Call& call);

  std::vector<Route> routes_;
  std::vector<net::RouteInfo> infos_;
  net::Router router_;
  Authenticator& authenticator_;
  RateLimits& limits_;
  ApiHooks hooks_;
};

/// Form of a request that a JSON route takes: content type, no content coding, an acceptable answer (JSON, or the media
/// type `also_answers`). Errors:
/// unsupported_media_type, not_acceptable.
Result<void> check_media_types(const net::Request& request, bool has_json_body, std::string_view also_answers = {});

/// What the authenticator looks at. Views into `request`.
Credentials credentials_of(const net::Request& request);

}  // namespace ee::cp
