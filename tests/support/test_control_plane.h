#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/agent_api.h"
#include "common/argon2.h"
#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/json.h"
#include "cp/app.h"
#include "cp/service/job_summary.h"
#include "db/sqlite_database.h"
#include "tests/support/emulated_agent.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_database.h"

namespace ee::testing {

struct TestAnswer {
  int status = 0;
  std::string body;
  std::vector<HttpHeader> headers;
  /// The `code` of a problem answer; empty in any other.
  std::string code() const {
    const std::size_t at = body.find(R"("code":")");
    return status < 400 || at == std::string::npos ? "" : body.substr(at + 8, body.find('"', at + 8) - at - 8);
  }
  std::string header(std::string_view name) const {
    for (const HttpHeader& header : headers)
      if (net::equal_ignoring_case(header.name, name)) return header.value;
    return "";
  }
};

/// A whole control plane in this process, with its real composition, database and HTTP application, but a clock that
/// the test moves, an HTTP client that it answers, and no running jobs. Requests need no socket.
class TestControlPlane {
 public:
  using Environment = std::map<std::string, std::string, std::less<>>;
  struct Options {
    Environment environment = {};
    std::function<void(cp::VerificationStep)> before_step = {};
    std::shared_ptr<attestation::CollateralSource> collateral = {};
    const attestation::TrustAnchor* collateral_anchor = nullptr;  ///< of what a stand-in of the PCS serves
    std::function<void()> before_deposit_post = {};
    std::shared_ptr<cp::LogBuffer> logs = {};  ///< a logger's sink; else an empty one
    HttpStreams* streams = nullptr;            ///< agents' logs that are followed
    bool run_jobs = false;                     ///< as they are in a process; else a test calls single passes
  };
  TestControlPlane() : TestControlPlane(Options()) {}
  explicit TestControlPlane(Options options) : options_(std::move(options)) { start(); }

  static constexpr const char* kOrigin = "https://cp.example.com";

  /// Also after `stop`: a restart on the same database.
  void start() {
    std::map<std::string, std::string, std::less<>> environment = {
        {"EE_ENV", "dev"},
        {"EE_CLUSTER_ID", "test"},
        {"EE_ALLOW_EMULATED_TDX", "1"},
        {"EE_PUBLIC_URL", kOrigin},
        {"EE_BIND", "127.0.0.1:0"},
        {"EE_DATABASE_URL", database_url()},
        {"EE_EMULATED_TDX_DIR", (dir_ / "emulated-tdx").string()},
        {"EE_HTTP_THREADS", "1"},
        {"EE_WORKER_THREADS", "4"},
        {"ADMIN_PASSWORD_HASH", password_hash()}};
    for (const auto& [name, value] : options_.environment) environment[name] = value;
    const auto config = cp::load_config(environment);
    if (!config) throw std::runtime_error("configuration: " + config.error().front());
    config_ = *config;
    auto app = cp::App::start(*config, {.clock = clock,
                                        .random = random,
                                        .http = http,
                                        .before_verification_step = options_.before_step,
                                        .collateral = options_.collateral,
                                        .collateral_anchor = options_.collateral_anchor,
                                        .before_deposit_post = options_.before_deposit_post,
                                        .logs = options_.logs,
                                        .streams = options_.streams,
                                        .run_jobs = options_.run_jobs});
    if (!app) throw std::runtime_error("start: " + app.error().lines.front());
    app_ = std::move(*app);
  }
  void stop() {
    app_->stop(Seconds(5));
    app_.reset();
  }
  cp::App& app() { return *app_; }
  const cp::Config& config() const { return config_; }
  std::filesystem::path database_path() const { return dir_ / "cp.db"; }

  /// Each call comes from an address of its own unless `address` says otherwise.
  TestAnswer call(std::string method, const std::string& path, std::string body = "",
                  std::vector<HttpHeader> headers = {}, std::string address = "") {
    const std::uint64_t number = calls_++;
    if (address.empty())
      address = "10." + std::to_string(number / 65536 % 256) + "." + std::to_string(number / 256 % 256) + "." +
                std::to_string(number % 256);
    net::Request request;
    request.method = std::move(method);
    const std::size_t question = path.find('?');
    request.path = path.substr(0, question);
    request.query = question == std::string::npos ? "" : path.substr(question + 1);
    request.headers = std::move(headers);
    if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
    request.body = std::move(body);
    request.peer_address = request.client_address = std::move(address);
    request.request_id = "request-" + std::to_string(number);
    net::Response response = app_->call(std::move(request));
    return {.status = response.status, .body = std::move(response.body), .headers = std::move(response.headers)};
  }
  std::string admin_token() {
    const TestAnswer answer =
        call("POST", "/admin/login", R"({"password":"correct horse battery staple","mode":"token"})");
    const std::size_t at = answer.body.find(R"("token":")");
    if (answer.status != 200) throw std::runtime_error("sign-in: " + answer.body);
    return answer.body.substr(at + 9, answer.body.find('"', at + 9) - at - 9);
  }
  TestAnswer admin(const std::string& method, const std::string& path, const std::string& body = "") {
    if (token_.empty()) token_ = admin_token();
    return call(method, path, body, {{"Authorization", "Bearer " + token_}});
  }

  agent_api::ChallengeAnswer challenge(const std::string& vm_name) {
    const TestAnswer answer =
        call("POST", "/api/v1/agents/challenge",
             R"({"vm_name":")" + vm_name + R"(","purpose":"register","client_nonce":")" + std::string(64, 'c') + "\"}");
    if (answer.status != 200) throw std::runtime_error("challenge: " + answer.body);
    return json::read<agent_api::ChallengeAnswer>(answer.body).value();
  }

  /// A registration as it should be; a test changes what it wants wrong.
  struct Registration {
    agent_api::ChallengeAnswer challenge;
    agent_api::RegisterRequest request;
  };
  Registration prepare(const EmulatedAgent& agent, attestation::EmulatedQuoteSpec spec = {}) {
    Registration out{.challenge = challenge(agent.vm_name()), .request = {}};
    const auto nonce = from_hex_exact<32>(out.challenge.nonce).value();
    agent_api::RegisterRequest& wanted = out.request;
    wanted.vm_name = agent.vm_name();
    wanted.node_size = "tiny";
    wanted.datacenter = "baremetal:local";
    wanted.agent_version = "0.1.0";
    wanted.boot_id = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
    wanted.challenge = out.challenge.challenge;
    wanted.nonce = out.challenge.nonce;
    wanted.signing_key = to_base64(agent.signing_key().public_key());
    wanted.sealing_key = to_base64(agent.sealing_key().public_key());
    wanted.evidence.quote = agent.evidence(attestation::Purpose::register_, nonce, kOrigin, spec).quote_base64;
    wanted.capacity = {.vcpus = 4, .memory_mib = 4096, .disk_mib = 80000, .gpu_count = 0};
    return out;
  }
  TestAnswer send(const EmulatedAgent& agent, const Registration& registration, const std::string& address = "") {
    const std::string body = json::write(registration.request);
    const std::string path = "/api/v1/agents/register";
    return call("POST", path, body,
                {{"X-EE-Agent-Signature", agent.sign_request("POST", path, registration.challenge.challenge_id, body)}},
                address);
  }
  TestAnswer register_agent(const EmulatedAgent& agent, attestation::EmulatedQuoteSpec spec = {}) {
    return send(agent, prepare(agent, spec));
  }

  /// One column of all rows.
  template <class T>
  std::vector<T> values(std::string_view sql, const db::Params& params = {}) {
    auto found = app_->database().read<std::vector<T>>([&](db::Transaction& tx) { return tx.query<T>(sql, params); });
    if (!found) throw std::runtime_error(found.error().detail);
    return std::move(*found);
  }
  void execute(std::string_view sql, const db::Params& params = {}) {
    const auto done =
        app_->database().write<std::int64_t>([&](db::Transaction& tx) { return tx.execute(sql, params); });
    if (!done) throw std::runtime_error(done.error().detail);
  }
  std::int64_t agents() { return values<std::int64_t>("SELECT COUNT(*) FROM agents").front(); }

  FakeClock clock;
  SystemRandom random;
  FakeHttpClient http{[](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    return std::unexpected(HttpFailure::connect);
  }};

 private:
  static const std::string& password_hash() {
    static const std::string hash = hash_password(Secret("correct horse battery staple")).value();
    return hash;
  }
  /// With `EE_TEST_DATABASE=postgresql` a database of its own on the server of this run.
  std::string database_url() {
    if (!on_postgres()) return "sqlite:" + database_path().string();
    if (!copy_) copy_.emplace();
    return copy_->url();
  }

  Options options_;
  std::optional<PostgresCopy> copy_;
  cp::Config config_;
  TempDir dir_;
  std::uint64_t calls_ = 0;
  std::string token_;
  std::unique_ptr<cp::App> app_;
};

}  // namespace ee::testing
