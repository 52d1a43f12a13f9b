#include "net/curl_http_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "net/listener.h"
#include "net/server_test_support.h"
#include "tests/support/temp_dir.h"

namespace ee::net {
namespace {

struct ClientTest : ::testing::Test {
  TestServer test;
  CurlHttpClient client;

  std::string url(const std::string& path) { return test.server->url() + path; }
  void route(const std::string& name, std::function<Response(Request&&)> handler) {
    test.app.routes[name] = {.info = {.route_template = name}, .handler = std::move(handler)};
  }
};

/// Answers the first who asks with these bytes and goes away.
void answer_once(const Listener& listener, const std::string& bytes) {
  pollfd ready{.fd = listener.descriptor(), .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, 10'000) != 1) return;
  const int peer = ::accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
  ready.fd = peer;
  char request[4096];
  // A request that is not read would turn the end into a reset.
  if (::poll(&ready, 1, 10'000) == 1 && ::recv(peer, request, sizeof request, 0) > 0)
    EXPECT_EQ(::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  ::close(peer);
}

TEST_F(ClientTest, KeepsWhatCameBeforeAnAnswerBrokeOff) {
  test.start();
  for (const std::string& framing : {std::string("Content-Length: 100\r\n\r\nhalf of"),
                                     std::string("Transfer-Encoding: chunked\r\n\r\n7\r\nhalf of\r\n")}) {
    const auto listener = Listener::open("127.0.0.1:0");
    ASSERT_TRUE(listener);
    std::jthread server([&] { answer_once(*listener, "HTTP/1.1 200 OK\r\nX-Seen: yes\r\n" + framing); });
    HttpClientResponse part;
    const auto answer =
        client.send({.url = "http://127.0.0.1:" + std::to_string(listener->port()), .broken_off = &part});
    ASSERT_FALSE(answer) << "it is no answer";
    EXPECT_EQ(part.status, 200);
    EXPECT_EQ(part.body, "half of");
    EXPECT_EQ(part.header("x-seen"), "yes");
  }
  HttpClientResponse nothing;
  EXPECT_FALSE(client.send({.url = "http://no-such-host.invalid/", .broken_off = &nothing}));
  EXPECT_EQ(nothing.status, 0);
}

TEST_F(ClientTest, SendsMethodHeadersAndBodyAndReadsTheAnswer) {
  route("PUT /thing", [](Request&& request) {
    return Response{.status = 201, .headers = {{"X-Seen", "yes"}}, .body = request.method + " " + request.body};
  });
  test.start();

  const auto answer = client.send({.method = "PUT",
                                   .url = url("/thing?a=b%20c"),
                                   .headers = {{"X-One", "1"}, {"X-Empty", ""}, {"Content-Type", "application/json"}},
                                   .body = "{}"});

  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "PUT {}");
  EXPECT_EQ(answer->header("x-seen"), "yes");
  const Request seen = test.app.requests().at(0);
  EXPECT_EQ(seen.query, "a=b%20c");
  EXPECT_EQ(seen.header("x-one"), "1");
  EXPECT_EQ(seen.header("x-empty"), "");
  EXPECT_EQ(seen.header("content-type"), "application/json");
  EXPECT_FALSE(seen.header("expect"));
  EXPECT_FALSE(seen.header("accept-encoding"));
}

TEST_F(ClientTest, ServesGetHeadDeleteAndEmptyPost) {
  for (const char* name : {"GET /x", "POST /x", "DELETE /x"})
    route(name, [](Request&& request) { return Response{.body = request.method}; });
  test.start();

  EXPECT_EQ(client.send({.url = url("/x")})->body, "GET");
  EXPECT_EQ(client.send({.method = "POST", .url = url("/x")})->body, "POST");
  EXPECT_EQ(client.send({.method = "DELETE", .url = url("/x")})->body, "DELETE");
  const auto head = client.send({.method = "HEAD", .url = url("/x")});
  ASSERT_TRUE(head);
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(head->header("content-length"), "4");
  EXPECT_FALSE(test.app.requests().at(1).header("content-type"));
}

TEST_F(ClientTest, KeepsTheConnection) {
  test.config.max_requests_per_connection = 1000;
  test.start();

  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.send({.url = url("/")}));

  EXPECT_EQ(test.server->stats().connections, 1U);
}

TEST_F(ClientTest, TakesAConnectionOfItsOwnWhenAsked) {
  test.config.max_requests_per_connection = 1000;
  const auto count = [this](Request&&) { return Response{.body = std::to_string(test.server->stats().connections)}; };
  route("GET /count", count);
  route("POST /count", count);
  test.start();
  EXPECT_EQ(client.send({.url = url("/count")})->body, "1");
  EXPECT_EQ(client.send({.method = "POST", .url = url("/count"), .body = "x", .own_connection = true})->body, "2");
}

TEST_F(ClientTest, TriesAgainWhenAKeptConnectionTurnsOutClosed) {
  test.config.idle_timeout = Milliseconds(1000);
  test.start();
  ASSERT_TRUE(client.send({.url = url("/")}));
  test.pass(Milliseconds(1000));
  ASSERT_EQ(test.server->stats().connections, 0U);

  EXPECT_TRUE(client.send({.method = "POST", .url = url("/echo"), .body = "x"}));
}

TEST_F(ClientTest, GivesEveryStatusAsAnAnswerAndFollowsNoRedirect) {
  route("GET /away", [](Request&&) { return Response{.status = 302, .headers = {{"Location", "/"}}}; });
  route("GET /bad", [](Request&&) { return Response{.status = 503, .body = "later"}; });
  test.start();

  EXPECT_EQ(client.send({.url = url("/away")})->status, 302);
  const auto bad = client.send({.url = url("/bad")});
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 503);
  EXPECT_EQ(bad->body, "later");
}

TEST_F(ClientTest, RefusesALongAnswer) {
  route("GET /long", [](Request&&) { return Response{.body = std::string(1000, 'x')}; });
  test.start();

  EXPECT_EQ(client.send({.url = url("/long"), .max_response_bytes = 999}).error(), HttpFailure::answer_too_large);
  EXPECT_EQ(client.send({.url = url("/long"), .max_response_bytes = 1000})->body.size(), 1000U);
}

TEST_F(ClientTest, GivesUpAfterItsTime) {
  Gate gate;
  route("GET /slow", [&](Request&& request) {
    gate.pass(request.stop);
    return Response{};
  });
  test.start();

  EXPECT_EQ(client.send({.url = url("/slow"), .total_timeout = Milliseconds(60)}).error(), HttpFailure::timeout);
  gate.wait_for_passed(1);  // the server saw that the client had gone
}

TEST_F(ClientTest, StopsAtOnceWhenAsked) {
  Gate gate;
  route("GET /slow", [&](Request&& request) {
    gate.pass(request.stop);
    return Response{};
  });
  test.start();
  std::stop_source stop;
  std::jthread asker([&] {
    gate.wait_for_waiting(1);
    stop.request_stop();
  });

  EXPECT_EQ(client.send({.url = url("/slow"), .stop = stop.get_token()}).error(), HttpFailure::cancelled);
  EXPECT_EQ(client.send({.url = url("/slow"), .stop = stop.get_token()}).error(), HttpFailure::cancelled);
  gate.wait_for_passed(1);
}

TEST_F(ClientTest, NamesWhyNoAnswerCame) {
  test.start();
  const std::string closed_port = [] {
    auto listener = Listener::open("127.0.0.1:0");
    return std::to_string(listener->port());
  }();

  EXPECT_EQ(client.send({.url = "http://127.0.0.1:" + closed_port}).error(), HttpFailure::connect);
  EXPECT_EQ(client.send({.url = "http://no-such-host.invalid/"}).error(), HttpFailure::resolve);
  for (const char* bad : {"", "ftp://127.0.0.1/", "file:///etc/passwd", "http://user:secret@127.0.0.1/", "http://a b/",
                          "gopher://127.0.0.1", "//127.0.0.1/"})
    EXPECT_EQ(client.send({.url = bad}).error(), HttpFailure::bad_url) << bad;
  // Not TLS at all on the other side.
  EXPECT_EQ(client.send({.url = "https://127.0.0.1:" + std::to_string(test.server->port())}).error(), HttpFailure::tls);
}

TEST_F(ClientTest, SendsNothingThatCouldSplitTheRequest) {
  test.start();

  EXPECT_EQ(client.send({.url = url("/"), .headers = {{"X", "a\r\nY: b"}}}).error(), HttpFailure::protocol);
  EXPECT_EQ(client.send({.url = url("/"), .headers = {{"X: y\r\nZ", "a"}}}).error(), HttpFailure::protocol);
  EXPECT_EQ(client.send({.method = "GET / HTTP/1.1\r\nX:", .url = url("/")}).error(), HttpFailure::protocol);
  EXPECT_EQ(client.send({.url = url("/\r\nX: y")}).error(), HttpFailure::bad_url);
  EXPECT_TRUE(test.app.requests().empty());
}

TEST_F(ClientTest, IgnoresProxiesOfTheEnvironment) {
  test.start();
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("all_proxy", "http://127.0.0.1:1", 1);

  EXPECT_TRUE(client.send({.url = url("/")}));

  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
}

TEST_F(ClientTest, SpeaksOverUnixSockets) {
  const ee::testing::TempDir dir;
  test.config.bind = "unix:" + (dir / "http.sock").string();
  test.start();

  const auto answer = client.send({.url = "http://engine/", .unix_socket = (dir / "http.sock").string()});

  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(test.app.requests().at(0).peer_address, "unix");
  EXPECT_EQ(test.app.requests().at(0).header("host"), "engine");
}

TEST_F(ClientTest, ServesManyThreads) {
  test.config.worker_threads = 4;
  test.start();
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(8);
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) {
          const std::string body = std::to_string(t * 1000 + i);
          const auto answer = client.send({.method = "POST", .url = url("/echo"), .body = body});
          if (answer && answer->body == body) ++good;
        }
      });
  }
  EXPECT_EQ(good, 160);
  EXPECT_LE(test.server->stats().connections, 8U);
}

TEST_F(ClientTest, ConnectsToPublicAddressesOnlyWhenAsked) {
  route("GET /x", [](Request&&) { return Response{.body = "inside"}; });
  test.start();
  for (const std::string& base : {url(""), "http://localhost:" + std::to_string(test.server->port())}) {
    EXPECT_EQ(client.send({.url = base + "/x"})->body, "inside");  // also leaves an open connection behind
    const auto refused = client.send({.url = base + "/x", .addresses = AddressPolicy::public_only});
    ASSERT_FALSE(refused) << base;
    EXPECT_EQ(refused.error(), HttpFailure::address_refused);
  }
  EXPECT_EQ(client.send({.url = "http://169.254.169.254/latest", .addresses = AddressPolicy::public_only}).error(),
            HttpFailure::address_refused);
  EXPECT_EQ(client.send({.url = "http://[::1]/", .addresses = AddressPolicy::public_only}).error(),
            HttpFailure::address_refused);
  EXPECT_EQ(test.app.requests().size(), 2U);
}

TEST_F(ClientTest, LooksAtTheAddressOfEachConnection) {
  route("GET /x", [](Request&&) { return Response{.body = "inside"}; });
  test.start();
  std::string address = "127.0.0.1";
  CurlHttpClient named([&](const std::string& host) {
    return host == "registry.example" ? std::vector<std::string>{address} : std::vector<std::string>{};
  });
  const std::string there = "http://registry.example:" + std::to_string(test.server->port()) + "/x";
  EXPECT_EQ(named.send({.url = there})->body, "inside");
  EXPECT_EQ(named.send({.url = there, .addresses = AddressPolicy::public_only}).error(), HttpFailure::address_refused);
  address = "169.254.169.254";
  EXPECT_EQ(named.send({.url = there, .addresses = AddressPolicy::public_only}).error(), HttpFailure::address_refused);
}

}  // namespace
}  // namespace ee::net
