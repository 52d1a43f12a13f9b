#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/principal.h"
#include "cp/http/access.h"
#include "net/http.h"
#include "net/server.h"

namespace ee::cp {

/// Which token buckets a request takes from (05 section 13.5; 01 section 6.4; 02 sections 4.2 and 8).
enum class RateClass : std::uint8_t {
  none,
  challenge,
  registration,
  own_quote,
  agent,
  agent_relay,
  evidence,
  read,
  write,
  admin,
  sign_in,
  webhook,
  deploy,
  preflight
};

/// One request on its way to a handler, who is behind it known.
struct Call {
  const net::Request& request;
  Principal principal = {};
};
using Handler = std::function<net::Response(const Call&)>;
/// Runs on an io thread: must not block. Nothing: the handler is asked, on a worker.
using FastHandler = std::function<std::optional<net::Response>(const net::Request&)>;

/// Asked before a byte of the body is read, on an io thread: must not block. An error is the answer.
using Gate = std::function<std::optional<Error>(std::string_view client_address)>;

/// A schema is made when the OpenAPI document is: it adds its components to the set and returns JSON text.
using SchemaOf = std::function<std::string(json::SchemaSet&)>;

struct QueryParameter {
  std::string name;
  std::string schema;  ///< JSON Schema text
  std::string description;
};
struct DocumentedAnswer {
  int status;
  std::string description;
  SchemaOf schema = {};
  std::string content_type = "application/json";
};
struct RouteDoc {
  std::string summary;
  std::string tag;
  SchemaOf request = {};
  std::vector<QueryParameter> query = {};
  std::vector<DocumentedAnswer> answers = {};
};

/// A line of the route table: URL, access rule and handler together, so that one search audits access control.
struct Route {
  std::string_view method;
  std::string_view pattern;
  Access access;
  RateClass rate;
  Handler handle;
  RouteDoc doc;
  // Beside the access rule: what a key must be allowed to, and whether a suspended account may still do it.
  Scope scope = Scope::read;
  bool when_suspended = false;
  // What the server must know.
  FastHandler fast = {};
  Gate gate = {};
  std::size_t max_body_bytes = 0;              ///< 0: EE_HTTP_MAX_BODY_BYTES, which the table's maker fills in
  bool any_accept = false;                     ///< browsers come here: what they accept is not looked at
  bool outside = false;                        ///< waits for outside services
  bool reserved = false;                       ///< in the reserved share of the in-flight bound
  std::shared_ptr<net::WorkBound> bound = {};  ///< its own, beside the server's in-flight bound
  net::Shed shed = net::Shed::second;
  Milliseconds timeout{30'000};
  std::string_view also_answers = {};  ///< a media type that the route answers besides JSON
  bool in_maintenance = true;          ///< goes on while no changes are taken; the table's maker sets it

  AccessRule rule() const { return {.access = access, .scope = scope, .when_suspended = when_suspended}; }
};

template <class T>
SchemaOf request_schema() {
  return [](json::SchemaSet& set) { return json::schema<T>(set, json::SchemaUse::request); };
}
template <class T>
SchemaOf answer_schema() {
  return [](json::SchemaSet& set) { return json::schema<T>(set, json::SchemaUse::answer); };
}

}  // namespace ee::cp
