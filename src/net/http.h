#pragma once
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_client.h"
#include "common/time.h"

namespace ee::net {

/// One `{name}` of a route's pattern and what the path has in its place, percent-decoded. The name is the pattern's.
struct RouteParam {
  std::string_view name;
  std::string value;
};

/// A request as the server read it: within all limits, framing checked. Owns its bytes.
struct Request {
  std::string method = {};  ///< upper case
  std::string path = {};    ///< as sent, without the query; percent-encoded
  std::string query = {};   ///< as sent, without `?`
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  std::string peer_address = {};        ///< IP of the socket's peer (text), or "unix"
  std::string client_address = {};      ///< the same, or what a trusted proxy says
  std::string request_id = {};          ///< the caller's, if it sent a valid one, else made
  std::string traceparent = {};         ///< W3C, empty when absent or malformed
  SteadyTime deadline = {};             ///< when the handler's time is over
  std::stop_token stop = {};            ///< fires at the deadline, at shutdown and when the peer is gone
  std::size_t route = 0;                ///< `Admission::route_index`
  std::vector<RouteParam> params = {};  ///< `Admission::params`

  std::optional<std::string_view> header(std::string_view name) const;
  std::size_t header_count(std::string_view name) const;
  /// The value of `{name}` in the route's pattern; empty when the pattern has none.
  std::string_view param(std::string_view name) const;
};

class StreamBody;

struct Response {
  int status = 200;
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  bool close = false;      ///< `Connection: close` after this answer
  bool sensitive = false;  ///< never compressed
  /// Test servers only: close the connection without sending anything, as a crashing peer does.
  bool drop = false;
  /// Who asked, for the access record: kind and id, such as `account:0190...`. Never sent.
  std::string principal = {};
  /// Stable code of the error that this answers, for records and metrics; empty when none. Never sent.
  std::string_view code = {};
  /// Set: the body comes from a `ResponseStream` (net/stream.h) instead of `body`, which is empty.
  std::shared_ptr<StreamBody> stream = {};
};

/// ASCII only, as field names and tokens need it.
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace ee::net
