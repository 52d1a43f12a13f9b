#include "tests/standins/cloudflare/cloudflare.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <stdexcept>

#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "net/server.h"
#include "tests/standins/cloudflare/cloudflare_api.h"

namespace ee::standins {
namespace {

constexpr std::size_t kMaxEdgeAnswer = 64UL * 1024 * 1024;

/// Headers that belong to one connection, or that the client library makes itself.
bool stays_here(std::string_view name) {
  constexpr std::array<std::string_view, 8> kNames = {
      "connection", "keep-alive", "transfer-encoding", "upgrade", "te", "content-length", "host", "expect"};
  for (const auto known : kNames)
    if (HttpClientResponse{.status = 0, .headers = {{std::string(name), ""}}, .body = {}}.header(known)) return true;
  return false;
}

std::string host_of(const net::Request& request) {
  const std::string host(request.header("host").value_or(""));
  return host.substr(0, host.rfind(':') == host.npos ? host.size() : host.rfind(':'));
}

}  // namespace

class CloudflareStandIn::App final : public net::Application {
 public:
  explicit App(CloudflareStandIn& owner) : owner_(owner) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override {
    const std::string host = host_of(request);
    if (host != "127.0.0.1" && host != "localhost") return owner_.at_edge(request, host);
    return owner_.fake_.handle(request);
  }

 private:
  CloudflareStandIn& owner_;
  net::RouteInfo route_{.route_template = "/"};
};

CloudflareStandIn::CloudflareStandIn(CloudflareFake::Config config, std::uint64_t seed)
    : seeded_(std::make_unique<FakeRandom>(seed)),
      fake_(std::move(config), clock_, *seeded_),
      edge_client_(std::make_unique<net::CurlHttpClient>()) {}
CloudflareStandIn::~CloudflareStandIn() = default;

void CloudflareStandIn::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  auto server = net::Server::start(std::move(config), *app_, clock_, random_);
  if (!server) throw std::runtime_error("the Cloudflare stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

std::string CloudflareStandIn::url() const { return server_->url(); }

net::Response CloudflareStandIn::at_edge(const net::Request& request, const std::string& host) {
  const auto origin = fake_.route(host);
  if (!origin) return cloudflare_refusal(530, 1033, "no tunnel serves this host", {});
  HttpClientRequest onward{.method = request.method,
                           .url = *origin + request.path + (request.query.empty() ? "" : "?" + request.query)};
  for (const HttpHeader& header : request.headers)
    if (!stays_here(header.name)) onward.headers.push_back(header);
  onward.headers.push_back({"Host", host});
  onward.headers.push_back({"CF-Connecting-IP", request.client_address});
  onward.body = request.body;
  onward.max_response_bytes = kMaxEdgeAnswer;
  onward.stop = request.stop;
  auto answer = edge_client_->send(onward);
  if (!answer) return cloudflare_refusal(502, 0, to_string(answer.error()), {});
  net::Response response;
  response.status = answer->status;
  for (HttpHeader& header : answer->headers)
    if (!stays_here(header.name)) response.headers.push_back(std::move(header));
  response.body = std::move(answer->body);
  return response;
}

std::filesystem::path CloudflareStandIn::write_cloudflared(const std::filesystem::path& dir, const std::string& program,
                                                           const std::string& origin) const {
  const auto path = dir / "cloudflared";
  {
    std::ofstream file(path);
    file << "#!/bin/sh\n"
         << "EE_FAKE_CLOUDFLARE_URL='" << url() << "'\n"
         << "EE_FAKE_CLOUDFLARE_SECRET='" << fake_.config().hook_secret << "'\n"
         << "EE_FAKE_ORIGIN='" << origin << "'\n"
         << "export EE_FAKE_CLOUDFLARE_URL EE_FAKE_CLOUDFLARE_SECRET EE_FAKE_ORIGIN\n"
         << "exec '" << program << "' \"$@\"\n";
    if (!file.good()) throw std::runtime_error("cannot write " + path.string());
  }
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

}  // namespace ee::standins
