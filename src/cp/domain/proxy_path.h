#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace ee::cp {

enum class ProxyPathKind : std::uint8_t {
  other,          ///< not for the proxy
  service,        ///< goes to `service`
  missing_slash,  ///< `/proxy/{service}` alone
  bad_path,       ///< dots, slashes, backslashes or NUL in the service's part
  reserved,       ///< the agent's own API
};

/// What a request's path means to the proxy. Views into the path.
struct ProxyPath {
  ProxyPathKind kind = ProxyPathKind::other;
  std::string service = {};
  std::string_view rest = {};  ///< the workload's path, byte for byte; begins with `/`, or is empty
};

/// Path mode: `/proxy/{service}/{path}`. The service's part is decoded once, for routing only. Pure.
ProxyPath read_proxy_path(std::string_view path);
/// Host mode: the whole path is the workload's. `service` stays empty.
ProxyPath read_host_path(std::string_view path);
/// The service that a `Host` names below `suffix`; empty when it names none.
std::string service_of_host(std::string_view host, std::string_view suffix);

/// How a workload's path is read to choose the port that it goes to: decoded once, without dots and runs of slashes, as
/// an agent reads it. What is sent stays as it came.
std::string routing_path(std::string_view path);

/// Whether any server could read a workload's path, after up to two decodings and the removal of dots, as one below
/// `/.easyenclave/`: with backslashes, escaped slashes and path parameters taken for what they are to some and for
/// letters as to others; runs of slashes are one, case does not matter.
bool is_reserved_path(std::string_view path);

}  // namespace ee::cp
