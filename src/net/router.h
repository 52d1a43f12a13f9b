#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace ee::net {

enum class RouteOutcome { found, not_found, method_not_allowed, bad_path };

struct RouteMatch {
  RouteOutcome outcome = RouteOutcome::not_found;
  std::size_t index = 0;                ///< what `add` returned for the pattern found
  std::vector<RouteParam> params = {};  ///< in the pattern's order; names live as long as the router
  std::string allow = {};               ///< for method_not_allowed: the `Allow` field's value
};

/// Finds the route of a request among patterns such as
///   `GET /api/v1/agents/{agent_id}`    one segment, percent-decoded, never empty
///   `* /proxy/{service}/{path...}`     any method; the rest of the path, at least one byte, as sent (not decoded)
/// Segments are decoded once. A literal beats `{name}`, which beats `{name...}`; when the better pattern does not
/// serve the method, the other one may. HEAD is served by GET. Build first, then share: `match` is thread-safe.
class Router {
 public:
  Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;
  ~Router();

  /// Returns 0, 1, 2, ... A malformed pattern, or one there already, is a broken invariant (`require`).
  std::size_t add(std::string_view pattern);

  /// `path` is the raw path without its query. bad_path: a broken percent escape, `.` or `..` as a segment, an encoded
  /// slash, an encoded control character (NUL among them), or text that is not UTF-8; only in segments that are
  /// decoded.
  RouteMatch match(std::string_view method, std::string_view path) const;
  std::size_t size() const;

 private:
  struct Node;
  struct Search;
  std::unique_ptr<Node> root_;
  std::size_t size_ = 0;
};

/// Percent-decodes one path segment as `Router::match` does; false when it is a bad path.
bool decode_path_segment(std::string_view raw, std::string& out);

}  // namespace ee::net
