#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "net/server.h"
#include "net/server_test_support.h"
#include "tests/support/temp_dir.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;
// covers: S05_OPS_03 (requests)
TEST(ServerLifecycle, DrainsGracefully) {
  TestServer test;
  Gate gate;
  add_gated(test, "GET /slow", gate);
  test.start();
  auto idle = test.connect();
  auto busy = test.connect();
  idle.send(kGet);
  ASSERT_TRUE(idle.read_response());
  busy.send(get("/slow"));
  gate.wait_for_waiting(1);

  test.server->drain();
  test.settle();

  EXPECT_TRUE(idle.closed());
  EXPECT_THROW(test.connect(), std::runtime_error);
  EXPECT_FALSE(test.server->stats().connections == 0);
  gate.open();
  const auto response = busy.read_response();
  EXPECT_EQ(response->body, "opened");
  EXPECT_EQ(response->header("connection"), "close");
  busy.close();
  EXPECT_TRUE(test.server->wait_drained(std::chrono::steady_clock::now() + Seconds(5)));
}

TEST(ServerLifecycle, ResetsWhatIsLeftAtTheEndOfTheGrace) {
  TestServer test;
  Gate gate;
  add_gated(test, "GET /slow", gate);
  test.start();
  auto busy = test.connect();
  busy.send(get("/slow"));
  gate.wait_for_waiting(1);
  test.server->drain();

  EXPECT_FALSE(test.server->wait_drained(std::chrono::steady_clock::now()));

  gate.wait_for_passed(1);  // its stop token fired
  EXPECT_EQ(busy.read_to_end(), "");
  EXPECT_TRUE(test.server->wait_drained(std::chrono::steady_clock::now() + Seconds(5)));
}

TEST(ServerLifecycle, EndsWithHandlersAndQueuedRequestsUnderWay) {
  Gate gate;
  TestApplication app;
  FakeClock clock;
  FakeRandom random;
  app.routes["GET /slow"] = {.info = {}, .handler = [&](Request&& request) {
                               gate.pass(request.stop);
                               return Response{};
                             }};
  auto server = Server::start({.io_threads = 2, .worker_threads = 1}, app, clock, random).value();
  std::vector<RawClient> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back(server->port());
    clients.back().send(get("/slow"));
  }
  gate.wait_for_waiting(1);

  server.reset();

  EXPECT_LE(app.requests().size(), 5U);
  for (RawClient& client : clients) EXPECT_EQ(client.read_to_end(), "");
}

TEST(ServerLifecycle, ServesManyConnectionsOnSeveralIoThreads) {
  TestServer test;
  test.config.io_threads = 3;
  test.start();
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(8);
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          auto client = test.connect();
          for (int j = 0; j < 10; ++j) {
            const std::string body = std::to_string(i * 10 + j);
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body);
            if (client.read_response()->body == body) ++good;
          }
        }
      });
  }
  EXPECT_EQ(good, 600);
}

TEST(ServerLifecycle, ListensOnAUnixSocketAndRemovesIt) {
  const ee::testing::TempDir dir;
  const std::string path = (dir / "api.sock").string();
  {
    TestServer test;
    test.config.bind = "unix:" + path;
    test.start();
    EXPECT_EQ(test.server->url(), "unix:" + path);
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0660U);
    RawClient client(path);
    client.send(kGet);
    EXPECT_EQ(client.read_response()->status, 200);
    TestServer second;
    second.config.bind = test.config.bind;
    EXPECT_THROW(second.start(), std::runtime_error) << "a live socket is not taken over";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ServerLifecycle, ReplacesAStaleSocketButNoOtherFile) {
  const ee::testing::TempDir dir;
  const std::string stale = (dir / "stale.sock").string();
  {
    TestServer test;
    test.config.bind = "unix:" + stale;
    test.start();
    std::filesystem::rename(stale, stale + ".kept");
  }
  std::filesystem::rename(stale + ".kept", stale);  // its server is gone
  TestServer again;
  again.config.bind = "unix:" + stale;
  EXPECT_NO_THROW(again.start());

  const std::string file = (dir / "file").string();
  std::ofstream(file) << "precious";
  TestServer other;
  other.config.bind = "unix:" + file;
  EXPECT_THROW(other.start(), std::runtime_error);
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST(ServerLifecycle, ListensOnIpv6AndSaysWhyItCannotListen) {
  TestServer test;
  test.config.bind = "[::1]:0";
  if (std::ifstream("/proc/net/if_inet6").good()) {
    test.start();
    EXPECT_EQ(test.server->url(), "http://[::1]:" + std::to_string(test.server->port()));
  }
  TestServer first;
  first.start();
  TestApplication app;
  FakeClock clock;
  FakeRandom random;
  const auto error_of = [&](const std::string& bind) {
    const auto server = Server::start({.bind = bind}, app, clock, random);
    return server ? "started" : server.error();
  };
  const std::string taken = "127.0.0.1:" + std::to_string(first.server->port());
  EXPECT_EQ(error_of(taken), "cannot listen on " + taken + ": bind: Address already in use");
  for (const char* bind : {"", "127.0.0.1", "localhost:80", ":80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:8o",
                           "::1:80", "[::1]", "[]:80", "unix:"})
    EXPECT_TRUE(error_of(bind).starts_with(std::string("cannot listen on ") + bind)) << error_of(bind);
}

}  // namespace
}  // namespace ee::net
