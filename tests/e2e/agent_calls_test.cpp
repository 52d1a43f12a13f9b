// The control plane's calls against the agent's own HTTP API, over a socket.
#include <gtest/gtest.h>

#include <thread>

#include "agent/console_token.h"
#include "agent/local_api.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/service/agent_client.h"
#include "cp/service/console_access.h"
#include "net/curl_http_client.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee {
namespace {

using namespace std::chrono_literals;

class AgentCalls : public ::testing::Test {
 protected:
  AgentCalls() {
    config_.node_size = "tiny";
    config_.datacenter = "gcp:us-central1-a";
    row_.tunnel_state = cp::TunnelState::none;
    board_.begin_session({.identity = {.agent_id = row_.id.str(), .registration_id = "r", .credential = Secret("c")},
                          .signers = agent::SignerSet({keys_.published_raw().front()})});
    board_.set_phase(agent::AgentPhase::active);
    auto server =
        net::Server::start(agent::LocalApi::server_config({.host = "127.0.0.1", .port = 0}), api_, clock_, random_);
    EXPECT_TRUE(server) << server.error();
    server_ = std::move(*server);
    row_.direct_url = server_->url();
  }

  cp::AgentRow row_ = testing::make_agent(1);
  cp::SigningKeys keys_{*Ed25519PrivateKey::from_seed(ByteVector(32, 0x11)), {}};
  cp::SigningKeys strangers_keys_{*Ed25519PrivateKey::from_seed(ByteVector(32, 0x22)), {}};
  FakeClock clock_;
  FakeRandom random_;
  agent::AgentConfig config_;
  agent::Board board_{clock_};
  int syncs_ = 0, reattests_ = 0;
  agent::LocalApi api_{config_, "vm-1", board_,
                       agent::LocalApi::Hooks{.sync = [this] { ++syncs_; },
                                              .reattest =
                                                  [this] {
                                                    ++reattests_;
                                                    return true;
                                                  }},
                       clock_};
  std::unique_ptr<net::Server> server_;
  net::CurlHttpClient http_;
  cp::AgentEndpoint endpoint_{
      [] { return cp::EndpointSettings{.dev = true, .direct_url_cidrs = {"127.0.0.0/8"}, .domain = {}}; }};
  cp::AgentClient client_{
      {.endpoint = endpoint_, .signing_keys = keys_, .http = http_, .clock = clock_, .random = random_}};
};

TEST_F(AgentCalls, TheAgentTakesTheControlPlanesToken) {
  const auto synced = client_.sync(row_);
  ASSERT_TRUE(synced) << synced.error().detail;
  EXPECT_EQ(synced->status, 202);
  EXPECT_EQ(syncs_, 1);
  const auto reattested = client_.reattest(row_);
  ASSERT_TRUE(reattested);
  EXPECT_EQ(reattested->status, 202);
  EXPECT_EQ(reattests_, 1);
  // The agent answers a second one within a second by itself: a status, not a failure of the call.
  const auto limited = client_.sync(row_);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->status, 429);
}

TEST_F(AgentCalls, AnotherKeysTokenIsRefused) {
  cp::AgentClient stranger(
      {.endpoint = endpoint_, .signing_keys = strangers_keys_, .http = http_, .clock = clock_, .random = random_});
  const auto refused = stranger.sync(row_);
  ASSERT_TRUE(refused) << refused.error().detail;
  EXPECT_EQ(refused->status, 401);
  EXPECT_EQ(syncs_, 0);
}

TEST_F(AgentCalls, AnotherAgentAtTheAddressIsNoticed) {
  row_.id = testing::make_agent(2).id;
  const auto wrong = client_.sync(row_);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::agent_bad_response);
  EXPECT_EQ(syncs_, 0);
}

/// Console tokens as the control plane gives them out.
class ConsoleCalls : public AgentCalls {
 protected:
  static constexpr const char* kOrigin = "https://cp.example.com";
  cp::ConsoleAccessAnswer issue() {
    row_.registration_id = RegistrationId("r");
    EXPECT_TRUE(database_->run_write([&](db::Transaction& tx) { return cp::AgentStore().insert(tx, row_); }));
    auto issued = console_.issue({}, cp::AgentScope::everything(), row_.id, {}, {.name = "admin:s"});
    EXPECT_TRUE(issued) << issued.error().detail;
    return *issued;
  }
  testing::TestDatabase database_;
  cp::NoDeployments deployments_;
  cp::ConsoleAccess console_{{.database = database_,
                              .deployments = deployments_,
                              .endpoint = endpoint_,
                              .signing_keys = keys_,
                              .clock = clock_,
                              .random = random_,
                              .public_url = kOrigin}};
  agent::ConsoleTokens tokens_{board_, clock_, kOrigin};
};

// covers: S02_CON_TOK_001
TEST_F(ConsoleCalls, TheAgentTakesWhatTheControlPlaneGivesOut) {
  const auto issued = issue();
  EXPECT_EQ(issued.base_url, server_->url() + "/.easyenclave/v1");
  const auto grant = tokens_.check("Bearer " + issued.token, "logs");
  ASSERT_TRUE(grant) << grant.error().detail;
  EXPECT_EQ(grant->scopes, (std::vector<std::string>{"logs", "stats", "status"}));
  EXPECT_EQ(tokens_.check("Bearer " + issued.token, "reattest").error().code, ErrorCode::insufficient_scope);
}

// covers: S02_CON_TOK_007
TEST_F(ConsoleCalls, S02_CON_TOK_007_a_good_token_in_a_query_counts_nothing) {
  const std::string token = issue().token;
  for (const char* name : {"token", "access_token", "authorization"}) {
    const auto answer = http_.send({.url = server_->url() + "/.easyenclave/v1/status?" + name + "=" + token});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 401) << name;
  }
}

TEST_F(AgentCalls, AnAgentThatIsGoneIsUnreachable) {
  server_.reset();
  const auto gone = client_.sync(row_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::agent_unreachable);
}

}  // namespace
}  // namespace ee
