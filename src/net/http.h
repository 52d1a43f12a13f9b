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

/// A request as the server read it: within all limits, framing checked. Owns its bytes.
struct Request {
  std::string method;          ///< upper case
  std::string path;            ///< as sent, without the query; percent-encoded
  std::string query;           ///< as sent, without `?`
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  std::string peer_address;    ///< IP of the socket's peer (text), or "unix"
  std::string client_address;  ///< the same, or what a trusted proxy says
  std::string request_id;      ///< the caller's, if it sent a valid one, else made
  std::string traceparent = {};///< W3C, empty when absent or malformed
  SteadyTime deadline = {};    ///< when the handler's time is over
  std::stop_token stop = {};   ///< fires at the deadline, at shutdown and when the peer is gone

  std::optional<std::string_view> header(std::string_view name) const;
  std::size_t header_count(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  bool close = false;     ///< `Connection: close` after this answer
  bool sensitive = false; ///< never compressed
  /// Test servers only: close the connection without sending anything, as a crashing peer does.
  bool drop = false;
};

}  // namespace ee::net
