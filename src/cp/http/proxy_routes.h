#pragma once
#include <boost/describe.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/proxy.h"
#include "cp/http/route.h"
#include "cp/service/service_evidence.h"
#include "cp/service/services.h"

namespace ee::cp {

/// Services, their tokens, and what the proxy says of itself.
struct ProxyRoutes {
  Services& services;
  ServiceEvidence& evidence;
  const CursorCodec& cursors;
  std::function<ProxySettings()> settings;
  std::string public_url;
};

void add_proxy_routes(std::vector<Route>& table, ProxyRoutes& context);

struct ProxyLimitsView {
  std::int64_t max_body_bytes = 0;
  std::int64_t header_timeout_ms = 0;
  std::int64_t idle_timeout_ms = 0;
  std::int64_t total_timeout_ms = 0;
  std::int64_t websocket_idle_ms = 0;
  std::int64_t max_service_rps = 0;
};
BOOST_DESCRIBE_STRUCT(ProxyLimitsView, (),
                      (max_body_bytes, header_timeout_ms, idle_timeout_ms, total_timeout_ms, websocket_idle_ms,
                       max_service_rps))
constexpr std::string_view json_name(json::For<ProxyLimitsView> /*type*/) { return "ProxyLimits"; }

struct ProxyView {
  std::string proxy_url = {};
  std::string path_template = {};
  std::optional<std::string> host_suffix = {};
  ProxyLimitsView limits = {};
};
BOOST_DESCRIBE_STRUCT(ProxyView, (), (proxy_url, path_template, host_suffix, limits))
constexpr std::string_view json_name(json::For<ProxyView> /*type*/) { return "Proxy"; }

struct ServiceBackendsView {
  std::int64_t healthy = 0;
  std::int64_t total = 0;
};
BOOST_DESCRIBE_STRUCT(ServiceBackendsView, (), (healthy, total))
constexpr std::string_view json_name(json::For<ServiceBackendsView> /*type*/) { return "ServiceBackends"; }

struct ServiceView {
  std::string id = {};
  std::string name = {};
  AccountId account_id = {};
  ServiceAccess access = ServiceAccess::account;
  std::string url = {};
  ServiceBackendsView backends = {};
  ServiceOverrides settings = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> last_healthy_at = {};
};
BOOST_DESCRIBE_STRUCT(ServiceView, (),
                      (id, name, account_id, access, url, backends, settings, created_at, updated_at, last_healthy_at))
constexpr std::string_view json_name(json::For<ServiceView> /*type*/) { return "Service"; }

struct ServicePage {
  std::vector<ServiceView> items = {};
  std::optional<std::string> next_cursor = {};
};
BOOST_DESCRIBE_STRUCT(ServicePage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<ServicePage> /*type*/) { return "ServicePage"; }

struct ServiceChanges {
  std::optional<ServiceAccess> access = {};
  std::optional<ServiceOverrides> settings = {};
};
BOOST_DESCRIBE_STRUCT(ServiceChanges, (), (access, settings))
constexpr std::string_view json_name(json::For<ServiceChanges> /*type*/) { return "ServiceChanges"; }

struct ServiceTokenRequest {
  std::string label = {};
  std::optional<std::int64_t> ttl_seconds = {};
};
BOOST_DESCRIBE_STRUCT(ServiceTokenRequest, (), (label, ttl_seconds))
constexpr std::string_view json_name(json::For<ServiceTokenRequest> /*type*/) { return "ServiceTokenRequest"; }

struct ServiceTokenView {
  std::string id = {};
  std::string label = {};
  std::string display = {};  ///< enough to know it by
  UtcTime created_at = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> last_used_at = {};
};
BOOST_DESCRIBE_STRUCT(ServiceTokenView, (), (id, label, display, created_at, expires_at, last_used_at))
constexpr std::string_view json_name(json::For<ServiceTokenView> /*type*/) { return "ServiceToken"; }

struct ServiceTokenList {
  std::vector<ServiceTokenView> items = {};
};
BOOST_DESCRIBE_STRUCT(ServiceTokenList, (), (items))
constexpr std::string_view json_name(json::For<ServiceTokenList> /*type*/) { return "ServiceTokenList"; }

struct NewServiceTokenView {
  ServiceTokenView token = {};
  std::string secret = {};  ///< shown once
};
BOOST_DESCRIBE_STRUCT(NewServiceTokenView, (), (token, secret))
constexpr std::string_view json_name(json::For<NewServiceTokenView> /*type*/) { return "NewServiceToken"; }

}  // namespace ee::cp
