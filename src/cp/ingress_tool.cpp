#include "cp/ingress_tool.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/url.h"
#include "cp/domain/tunnel_names.h"
#include "cp/integration/cloudflare/cloudflare_client.h"
#include "cp/settings_views.h"

namespace ee::cp {
namespace {

using cloudflare::CfResult;
using cloudflare::CloudflareError;
using cloudflare::Failure;

constexpr int kExitFailed = 1;
constexpr int kExitNotConfigured = 3;
/// For all calls of one run.
constexpr Seconds kPatience{120};

struct Ingress {
  std::string tunnel;    ///< name
  std::string hostname;  ///< of EE_PUBLIC_URL
  std::string service;   ///< where cloudflared sends requests
  std::string comment;   ///< marks our record
  bool takeover = false;
};

struct Made {
  std::string id;
  Secret token;
};

CloudflareError refused(std::string detail) { return {.failure = Failure::refused, .detail = std::move(detail)}; }

std::string service_of(const Config& config) {
  if (config.bind.is_unix()) return "unix:" + config.bind.unix_path;
  const std::string& host = config.bind.host;
  const std::string reached = host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host;
  const std::string written = reached.find(':') == std::string::npos ? reached : "[" + reached + "]";
  return fmt::format("{}://{}:{}", config.has_tls() ? "https" : "http", written, config.bind.port);
}

/// The steps, each of which may have been done before.
class Maker {
 public:
  Maker(cloudflare::CloudflareClient& client, const Ingress& ingress, cloudflare::CallContext context)
      : client_(client), ingress_(ingress), context_(std::move(context)) {}

  CfResult<Made> run() {
    auto made = tunnel();
    if (!made) return made;
    if (auto done = client_.configure_tunnel(made->id, ingress_.hostname, ingress_.service, context_); !done)
      return std::unexpected(done.error());
    if (auto done = record(tunnel_target(made->id)); !done) return std::unexpected(done.error());
    return made;
  }

 private:
  CfResult<Made> tunnel() {
    auto created = client_.create_tunnel(ingress_.tunnel, context_);
    if (created && !created->token.empty()) return Made{.id = created->id, .token = created->token};
    std::string id = created ? created->id : "";
    if (!created) {
      if (created.error().failure != Failure::name_exists) return std::unexpected(created.error());
      const auto found = client_.find_tunnels(ingress_.tunnel, context_);
      if (!found) return std::unexpected(found.error());
      if (found->size() != 1) return std::unexpected(refused("the tunnel's name exists, the tunnel does not"));
      id = found->front().id;
    }
    auto token = client_.tunnel_token(id, context_);
    if (!token) return std::unexpected(token.error());
    return Made{.id = std::move(id), .token = std::move(*token)};
  }

  CfResult<void> record(const std::string& target) {
    // A second look when somebody makes the record between the look and the attempt.
    for (int round = 0;; ++round) {
      const auto found = client_.find_records(ingress_.hostname, context_);
      if (!found) return std::unexpected(found.error());
      const auto ours = std::ranges::find_if(*found, [&](const cloudflare::DnsRecord& record) {
        return record.comment == ingress_.comment || record.content == target;
      });
      if (ours != found->end())
        return client_.update_record(ours->id, ingress_.hostname, target, ingress_.comment, context_);
      if (!found->empty()) {
        if (!ingress_.takeover)
          return std::unexpected(refused("the host name has a DNS record of somebody else (--takeover overwrites it)"));
        return client_.update_record(found->front().id, ingress_.hostname, target, ingress_.comment, context_);
      }
      const auto created = client_.create_record(ingress_.hostname, target, ingress_.comment, context_);
      if (created) return {};
      if (created.error().failure != Failure::record_exists) return std::unexpected(created.error());
      if (round > 0)
        return std::unexpected(refused("the host name has a DNS record that is no CNAME; remove it first"));
    }
  }

  cloudflare::CloudflareClient& client_;
  const Ingress& ingress_;
  cloudflare::CallContext context_;
};

}  // namespace

ToolResult ensure_ingress(const Config& config, const IngressCommand& command, HttpClient& http, Clock& clock,
                          Random& random) {
  SettingValues values(config.settings_context());
  for (const auto& [id, value] : config.settings) values.set(id, value);
  const TunnelSettings settings = views::tunnels(values, config);
  if (!settings.configured)
    return {.exit_code = kExitNotConfigured,
            .lines = {"cloudflare_missing: account id, zone id, API token and domain are needed"}};
  const auto url = parse_url(config.public_url);
  if (!url || is_private_host(url->host))
    return {.exit_code = kExitNotConfigured, .lines = {"EE_PUBLIC_URL names no public host"}};
  const Ingress ingress{.tunnel = control_plane_tunnel_name(config.cluster_id),
                        .hostname = url->host,
                        .service = service_of(config),
                        .comment = fmt::format("ee c={} control-plane", config.cluster_id),
                        .takeover = command.takeover};
  cloudflare::CloudflareClient client(http, clock, random, [&] { return views::cloudflare(values); });
  Maker maker(client, ingress, {.deadline = clock.steady_now() + kPatience, .wait_for_budget = true});
  const auto made = maker.run();
  if (!made)
    return {.exit_code = kExitFailed,
            .lines = {fmt::format("cloudflare: {}{}{}", made.error().short_text(),
                                  made.error().detail.empty() ? "" : ": ", made.error().detail)}};
  if (!command.json)
    return {.lines = {fmt::format("tunnel {} ({})", ingress.tunnel, made->id),
                      fmt::format("{} -> {}", ingress.hostname, ingress.service)}};
  return {.lines = {boost::json::serialize(boost::json::object{
              {"tunnel_id", made->id}, {"token", made->token.reveal()}, {"hostnames", {ingress.hostname}}})}};
}

}  // namespace ee::cp
