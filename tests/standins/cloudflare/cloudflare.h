#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"

namespace ee::net {
class CurlHttpClient;
class Server;
}  // namespace ee::net

namespace ee::standins {

/// Stand-in for Cloudflare: a real HTTP server on 127.0.0.1 with the API under `api_url()`, the test's hooks under
/// `/__fake/`, and an edge: a request whose Host is a proxied record goes to the origin of that record's tunnel.
class CloudflareStandIn {
 public:
  /// `seed`: of all ids it makes.
  explicit CloudflareStandIn(CloudflareFake::Config config = {}, std::uint64_t seed = 1);
  ~CloudflareStandIn();
  CloudflareStandIn(const CloudflareStandIn&) = delete;
  CloudflareStandIn& operator=(const CloudflareStandIn&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  std::string url() const;
  std::string api_url() const { return url() + fake_.config().base_path; }
  CloudflareFake& fake() { return fake_; }

  /// Writes a script to use as `cloudflared`: runs `program` (standin-cloudflared) with this server's address, since an
  /// agent gives its child no environment of its own. `origin`: where the edge sends requests to, empty: as the ingress
  /// says.
  std::filesystem::path write_cloudflared(const std::filesystem::path& dir, const std::string& program,
                                          const std::string& origin = {}) const;

 private:
  class App;
  net::Response at_edge(const net::Request& request, const std::string& host);

  SystemClock clock_;
  std::unique_ptr<Random> seeded_;
  SystemRandom random_;
  CloudflareFake fake_;
  std::unique_ptr<net::CurlHttpClient> edge_client_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
