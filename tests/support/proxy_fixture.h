#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/argon2.h"
#include "common/credential_cache.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "cp/http/proxy.h"
#include "cp/service/authenticator.h"
#include "cp/store/agent_store.h"
#include "cp/store/service_token_store.h"
#include "net/server.h"
#include "tests/support/agents.h"
#include "tests/support/fake_workload.h"
#include "tests/support/raw_client.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_database.h"

namespace ee::testing {

/// The proxy on a real socket over a real database, with rows written directly and workloads on 127.0.0.1.
class ProxyFixture : public net::Application {
 public:
  ProxyFixture() {
    owner_ = add_test_account(database, 1);
    stranger_ = add_test_account(database, 2);
    settings.host_suffix = "apps.example";
  }
  ~ProxyFixture() override { server.reset(); }

  net::Admission admit(const net::RequestHead&) override { return {.answer = net::Response{.status = 404}}; }
  net::Response handle(net::Request&&) override { return {}; }
  std::shared_ptr<net::StreamHandler> open_stream(const net::RequestHead& head) override { return proxy->open(head); }

  void start() {
    proxy =
        std::make_unique<cp::Proxy>(cp::Proxy::Parts{.routes = routes,
                                                     .access = access,
                                                     .assertions = assertions,
                                                     .addresses = addresses,
                                                     .clock = clock,
                                                     .random = random,
                                                     .settings = [this] { return settings; },
                                                     .tls = nullptr,
                                                     .metrics = metrics,
                                                     .target_refused =
                                                         [this](const cp::BackendRoute& backend, const std::string&) {
                                                           const std::lock_guard lock(mutex);
                                                           refused_targets.push_back(backend.deployment_id);
                                                         },
                                                     .io_threads = 1});
    config.sweep_interval = Milliseconds(5);
    server = net::Server::start(config, *this, clock, random).value();
    refresh();
  }
  void refresh() { ASSERT_TRUE(routes.refresh(true)); }

  /// A service with this access, of the first account.
  void add_service(const std::string& name, const std::string& access_mode = "public",
                   const std::string& overrides = "{}") {
    database.execute(
        "INSERT INTO services (id, name, account_id, access, settings, created_at, updated_at)"
        " VALUES (:id, :name, :account, :access, :settings, 0, 0)",
        {{"id", service_id(name)},
         {"name", name},
         {"account", owner_},
         {"access", access_mode},
         {"settings", overrides}});
  }
  /// A running deployment of the service on an agent of its own, reached at `url`; its id.
  std::string add_backend(const std::string& service, const std::string& url, const std::string& state = "running",
                          const std::string& health = "healthy") {
    const int number = ++backends_;
    cp::AgentRow agent = make_agent(number);
    const std::string id = deployment_id(number);
    agent.status = cp::AgentStatus::deployed;
    agent.current_deployment_id = DeploymentId(id);
    agent.assignment_epoch = 7;
    if (url.starts_with("https://")) {
      agent.hostname = url.substr(8);
      agent.tunnel_state = cp::TunnelState::ready;
    } else {
      agent.direct_url = url;
    }
    const auto written = database->run_write([&](db::Transaction& tx) { return cp::AgentStore().insert(tx, agent); });
    EXPECT_TRUE(written) << (written ? "" : written.error().detail);
    database.execute(
        "INSERT INTO deployments (id, group_id, account_id, service_id, state, agent_id, slot_held, assignment_epoch,"
        " current_revision, target_revision, auth_method, node_size, datacenter_policy, health, created_at, updated_at)"
        " VALUES (:id, :id, :account, :service, :state, :agent, 1, 7, 1, 1, 'api_key', 'tiny', '{}', :health, 0, 0)",
        {{"id", id},
         {"account", owner_},
         {"service", service_id(service)},
         {"state", state},
         {"agent", agent.id},
         {"health", health}});
    database.execute(
        "INSERT INTO deployment_revisions (deployment_id, revision, compose_sha256, resolved_compose, compose_hash,"
        " workload_hash, images, ingress, env, health_path, deploy_timeout_seconds, created_by, created_at, outcome)"
        " VALUES (:id, 1, '', '', '', '', '{}', :ingress, '{}', '/', 600, 'test', 0, 'active')",
        {{"id", id},
         {"ingress", std::string(R"([{"path_prefix":"/","port":8080},{"path_prefix":"/api","port":9000}])")}});
    return id;
  }
  void set(const std::string& deployment, const std::string& change) {
    database.execute("UPDATE deployments SET " + change + " WHERE id=:id", {{"id", deployment}});
  }
  void set_agent_of(const std::string& deployment, const std::string& change) {
    database.execute("UPDATE agents SET " + change + " WHERE current_deployment_id=:id", {{"id", deployment}});
  }
  /// A token of the service: its text. `id` for revoking.
  std::string add_token(const std::string& service, const std::string& id, std::optional<UtcTime> expires = {}) {
    const Credential credential = new_credential(CredentialKind::svc, random).value();
    const cp::ServiceTokenRow row{.id = id,
                                  .service_id = service_id(service),
                                  .label = "test",
                                  .lookup = credential.lookup,
                                  .secret_hash = hash_token(credential.text, random).value(),
                                  .created_at = clock.now(),
                                  .expires_at = expires};
    EXPECT_TRUE(database->run_write([&](db::Transaction& tx) { return cp::ServiceTokenStore().insert(tx, row); }));
    return credential.text.reveal();
  }
  /// An API key of an account.
  std::string add_key(const AccountId& account) {
    const Credential credential = new_credential(CredentialKind::live, random).value();
    database.execute(
        "INSERT INTO api_keys (id, account_id, name, lookup, secret_hash, scopes, created_at, created_by)"
        " VALUES (:id, :account, :name, :lookup, :hash, '[\"read\"]', 0, 'test')",
        {{"id", new_uuid_v7(clock.now(), random).value()},
         {"account", account},
         {"name", "k" + credential.lookup},
         {"lookup", credential.lookup},
         {"hash", hash_token(credential.text, random).value()}});
    return credential.text.reveal();
  }

  static std::string service_id(const std::string& name) {
    const std::string digits = std::to_string(1'000'000 + std::hash<std::string>()(name) % 1'000'000);
    return "0190b000-0000-7000-8000-00000" + digits;
  }
  static std::string deployment_id(int number) {
    const std::string digits = std::to_string(100000 + number);
    return "0190c000-0000-7000-8000-000000" + digits;
  }

  RawClient connect() { return RawClient(server->port()); }
  RawResponse send(const std::string& request, bool to_head = false) {
    RawClient client = connect();
    client.send(request);
    return client.read_response(to_head).value_or(RawResponse{});
  }
  /// `fields` end with CRLF each.
  RawResponse get(const std::string& path, const std::string& fields = {}) {
    return send("GET " + path + " HTTP/1.1\r\nHost: cp.example\r\n" + fields + "\r\n");
  }
  /// `X-EE-Proxy-Error` of a GET.
  std::string error_of(const std::string& path, const std::string& fields = {}) {
    return get(path, fields).header("x-ee-proxy-error").value_or("none");
  }

  FakeClock clock;
  FakeRandom random;
  TestDatabase database{{}, &clock};
  metrics::Registry metrics;
  std::unique_ptr<CredentialCache> cache = CredentialCache::create(1024, Milliseconds(5000), random);
  cp::Authenticator authenticator{database, *cache, clock, [] { return cp::AuthSettings{}; }, metrics};
  cp::ProxyAccess access{database, *cache, authenticator, clock};
  std::vector<std::string> direct_cidrs{"127.0.0.0/8"};
  cp::AgentEndpoint endpoint{[this] {
    return cp::EndpointSettings{.dev = true, .direct_url_cidrs = direct_cidrs, .domain = "tunnel.example"};
  }};
  cp::RouteSnapshots routes{database, endpoint, clock};
  Ed25519PrivateKey key = Ed25519PrivateKey::generate(random).value();
  cp::SigningKeys keys{key, {}};
  cp::ProxyAssertions assertions{keys, clock};
  std::mutex mutex;
  std::map<std::string, std::vector<net::IpAddress>> names;
  std::vector<std::string> looked_up;
  std::vector<std::string> refused_targets;
  cp::BackendAddresses addresses{[this](const std::string& host) {
                                   const std::lock_guard lock(mutex);
                                   looked_up.push_back(host);
                                   return names[host];
                                 },
                                 clock};
  cp::ProxySettings settings;
  net::ServerConfig config;
  std::unique_ptr<cp::Proxy> proxy;
  std::unique_ptr<net::Server> server;
  AccountId owner_;
  AccountId stranger_;

 private:
  int backends_ = 0;
};

}  // namespace ee::testing
