#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "net/server.h"
#include "net/server_test_support.h"
#include "net/stream.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

/// A stream handler that a test scripts by functions, and that keeps what it saw.
struct Script : StreamHandler, std::enable_shared_from_this<Script> {
  RouteInfo info{.route_template = "/stream", .max_body_bytes = 1UL << 40U, .security_headers = false};
  std::function<void(Exchange&, const RequestHead&)> start;
  std::function<void(Exchange&, std::string_view, bool)> body;
  std::function<void(Exchange&)> drained;
  std::atomic<Exchange*> exchange = nullptr;
  std::string trailers;
  std::mutex mutex;
  std::function<void(Exchange&)> tick;
  std::string received;
  std::atomic<bool> gone = false;
  std::atomic<bool> last = false;

  const RouteInfo& route() const override { return info; }
  void on_start(Exchange& given, const RequestHead& head) override {
    exchange = &given;
    if (start) start(given, head);
  }
  void on_body(std::string_view bytes, bool is_last, std::string_view ready) override {
    {
      const std::lock_guard lock(mutex);
      received += bytes;
      trailers += ready;
    }
    if (is_last) last = true;
    if (body) body(*exchange, bytes, is_last);
  }
  void on_drained() override {
    if (drained) drained(*exchange);
  }
  void on_gone() override {
    exchange = nullptr;
    gone = true;
  }
  void on_tick(SteadyTime) override {
    std::function<void(Exchange&)> step;
    {
      const std::lock_guard lock(mutex);
      step.swap(tick);
    }
    if (step && exchange) step(*exchange);
  }
  /// Runs `step` once on the io thread.
  void on_io(std::function<void(Exchange&)> step) {
    const std::lock_guard lock(mutex);
    tick = std::move(step);
  }
  std::size_t received_bytes() {
    const std::lock_guard lock(mutex);
    return received.size();
  }
};

struct StreamApplication : TestApplication {
  std::shared_ptr<StreamHandler> open_stream(const RequestHead& head) override {
    if (!head.path.starts_with("/stream")) return nullptr;
    return make();
  }
  std::function<std::shared_ptr<StreamHandler>()> make;
};

struct StreamServer {
  StreamApplication app;
  FakeClock clock;
  FakeRandom random;
  ServerConfig config{.sweep_interval = Milliseconds(5)};
  std::unique_ptr<Server> server;
  std::shared_ptr<Script> script = std::make_shared<Script>();

  void start() {
    if (!app.make) app.make = [this] { return script; };
    server = Server::start(config, app, clock, random).value();
  }
  RawClient connect() { return RawClient(server->port()); }
};

template <class Predicate>
bool eventually(Predicate predicate) {
  const auto patience = std::chrono::steady_clock::now() + Seconds(5);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > patience) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(ServerStream, AnswersPieceByPieceAndKeepsTheConnection) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead& head) {
    EXPECT_EQ(head.query, "a=b");
    exchange.begin({.fields = "X-One: 1\r\n"});
    exchange.write("one");
    exchange.write("two");
    exchange.finish("X-Trailer: t\r\n");
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream?a=b") + get("/"));
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->header("transfer-encoding"), "chunked");
  EXPECT_EQ(answer->header("x-one"), "1");
  EXPECT_EQ(answer->body, "onetwo");
  EXPECT_EQ(client.read_response()->body, "hello") << "the pipelined request behind it";
  const auto records = test.app.records(2);
  EXPECT_EQ(records[0].route, "/stream");
  EXPECT_GT(records[0].bytes_out, 6U);
}

TEST(ServerStream, FramesByLengthByClosingAndForHead) {
  StreamServer test;
  test.app.make = [] {
    auto script = std::make_shared<Script>();
    script->start = [](Exchange& exchange, const RequestHead& head) {
      const bool sized = head.path == "/stream/sized";
      exchange.begin({.content_length = sized ? std::optional<std::uint64_t>(4) : std::nullopt});
      exchange.write("fourfive");
      exchange.finish();
    };
    return script;
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream/sized"));
  EXPECT_EQ(client.read_response()->body, "four") << "never more than announced";
  client.send("HEAD /stream/sized HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read_response(true)->header("content-length"), "4");
  client.send("GET /stream HTTP/1.0\r\nHost: x\r\n\r\n");
  const std::string all = client.read_to_end();
  EXPECT_TRUE(all.ends_with("\r\n\r\nfourfive")) << all;
  EXPECT_EQ(all.find("chunked"), std::string::npos);
}

TEST(ServerStream, CutsAnAnswerShorterThanItsLength) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) {
    exchange.begin({.content_length = 10});
    exchange.write("short");
    exchange.finish();
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream") + get("/"));
  EXPECT_EQ(client.read_to_end().find("hello"), std::string::npos);
}

TEST(ServerStream, TakesBodiesAsTheyComeWithBackPressure) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) { exchange.want_body(false); };
  test.start();
  auto client = test.connect();
  constexpr std::size_t kSize = 8UL * 1024 * 1024;
  std::jthread sender([&] {
    client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n" +
                std::string(kSize, 'x'));
  });
  ASSERT_TRUE(eventually([&] { return test.server->stats().bytes_received > 10'000; }));
  EXPECT_EQ(test.script->received_bytes(), 0U);
  EXPECT_LT(test.server->stats().bytes_received, 100'000U) << "what is not wanted stays with the client";
  test.script->on_io([](Exchange& exchange) { exchange.want_body(true); });
  test.server->sweep();
  ASSERT_TRUE(eventually([&] { return test.script->last.load(); }));
  EXPECT_EQ(test.script->received_bytes(), kSize);
  test.script->on_io([](Exchange& exchange) { exchange.respond({.status = 201}); });
  test.server->sweep();
  EXPECT_EQ(client.read_response()->status, 201);
}

TEST(ServerStream, DecodesChunksAndPassesTrailersButNoneThatDecide) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) { exchange.want_body(true); };
  test.script->body = [](Exchange& exchange, std::string_view, bool last) {
    if (last) exchange.respond({.status = 200});
  };
  test.start();
  auto client = test.connect();
  client.send(
      "POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n"
      "X-Sum: 5\r\nContent-Length: 9\r\nX-EE-Service: evil\r\n\r\n");
  EXPECT_EQ(client.read_response()->status, 200);
  EXPECT_EQ(test.script->received, "abcde");
  EXPECT_EQ(test.script->trailers, "X-Sum: 5\r\n");
}

TEST(ServerStream, RefusesBrokenChunksAndTellsTheHandler) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) { exchange.want_body(true); };
  test.start();
  auto client = test.connect();
  client.send("POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\n\r\n");
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 400);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(test.script->gone);
}

TEST(ServerStream, SaysContinueOnlyWhenTheBodyIsWanted) {
  StreamServer test;
  test.script->body = [](Exchange& exchange, std::string_view, bool last) {
    if (last) exchange.respond({.status = 200});
  };
  test.start();
  auto client = test.connect();
  client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return test.script->exchange != nullptr; }));
  test.script->on_io([](Exchange& exchange) { exchange.want_body(true); });
  test.server->sweep();
  EXPECT_EQ(client.read_response(true)->status, 100);
  client.send("ok");
  EXPECT_EQ(client.read_response()->status, 200);
}

TEST(ServerStream, ClosesAfterAnAnswerThatLeavesALargeBodyUnread) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) { exchange.respond({.status = 413}); };
  test.start();
  auto small = test.connect();
  small.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde" + get("/"));
  EXPECT_EQ(small.read_response()->status, 413);
  EXPECT_EQ(small.read_response()->body, "hello") << "a short rest is dropped";
  auto large = test.connect();
  large.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nabcde");
  const auto answer = large.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->header("connection"), "close");
}

TEST(ServerStream, NoticesThatTheClientIsGone) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) {
    exchange.begin({});
    exchange.write("event");
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return test.script->exchange != nullptr; }));
  client.close();
  EXPECT_TRUE(eventually([&] { return test.script->gone.load(); }));
  EXPECT_EQ(test.app.records(1)[0].status, 200);
}

TEST(ServerStream, SlowReaderStallsTheProducerAndIsResetAfterTheStallTime) {
  StreamServer test;
  std::atomic<int> drained = 0;
  const std::string block(64UL * 1024, 'x');
  std::atomic<std::size_t> written = 0;
  const auto fill = [&](Exchange& exchange) {
    do {
      written += block.size();
    } while (exchange.write(block) == 0);
  };
  test.script->start = [&](Exchange& exchange, const RequestHead&) {
    exchange.begin({});
    exchange.set_write_stall(Milliseconds(10'000));
  };
  test.script->on_io(fill);
  test.script->drained = [&](Exchange& exchange) {
    ++drained;
    fill(exchange);
  };
  test.start();
  auto client = test.connect();
  client.shrink_receive_buffer();
  client.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return written > 0; }));
  const std::size_t before = written;
  EXPECT_LT(before, 16UL * 1024 * 1024) << "held by the sockets' own buffers only";
  EXPECT_FALSE(test.script->gone);
  test.clock.advance(Milliseconds(60'000));
  test.server->sweep();
  EXPECT_TRUE(eventually([&] { return test.script->gone.load(); }));
}

TEST(ServerStream, TunnelsBothWaysWithHalfClose) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) {
    exchange.switch_protocols("Upgrade: websocket\r\nConnection: Upgrade\r\n");
  };
  test.script->body = [](Exchange& exchange, std::string_view bytes, bool last) {
    exchange.write(bytes);
    if (last) exchange.write("bye");
    if (last) exchange.finish();
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + "ping");
  EXPECT_EQ(client.read_response(true)->status, 101);
  client.send(" pong");
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "ping pongbye");
}

TEST(ServerStream, EndsItsSideOfATunnelAndGoesOnReading) {
  StreamServer test;
  test.script->start = [](Exchange& exchange, const RequestHead&) {
    exchange.switch_protocols("Upgrade: websocket\r\nConnection: Upgrade\r\n");
    exchange.write("done");
    exchange.end_output();
  };
  test.script->body = [](Exchange& exchange, std::string_view, bool last) {
    if (last) exchange.finish();
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream"));
  EXPECT_EQ(client.read_response(true)->status, 101);
  EXPECT_EQ(client.read_to_end(), "done");
  client.send("still there");
  ASSERT_TRUE(eventually([&] { return test.script->received_bytes() == 11; }));
  client.half_close();
  EXPECT_TRUE(eventually([&] { return test.server->stats().connections == 0; }));
}

TEST(ServerStream, WorkersComeBackToTheLoop) {
  StreamServer test;
  test.script->start = [&](Exchange& exchange, const RequestHead&) {
    const auto io_thread = std::this_thread::get_id();
    ASSERT_TRUE(exchange.run_on_worker([self = test.script, io_thread]() -> Exchange::Continuation {
      EXPECT_NE(std::this_thread::get_id(), io_thread);
      return [self, io_thread] {
        EXPECT_EQ(std::this_thread::get_id(), io_thread);
        if (Exchange* const still = self->exchange) still->respond({.body = "from the worker"});
      };
    }));
  };
  test.start();
  auto client = test.connect();
  client.send(get("/stream"));
  EXPECT_EQ(client.read_response()->body, "from the worker");
}

/// `GET /events` answers with a ResponseStream, which the test gets.
struct EventServer : StreamServer {
  explicit EventServer(std::size_t limit = ResponseStream::kDefaultLimit) {
    app.routes["GET /events"] = {.info = {.route_template = "/events"}, .handler = [this, limit](Request&&) {
                                   ResponseStream made(limit);
                                   Response response{.headers = {{"Content-Type", "text/event-stream"}},
                                                     .stream = made.body()};
                                   const std::lock_guard lock(mutex);
                                   streams.push_back(std::move(made));
                                   return response;
                                 }};
    start();
  }
  ResponseStream next() {
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return !streams.empty();
    }));
    const std::lock_guard lock(mutex);
    ResponseStream stream = std::move(streams.front());
    streams.pop_front();
    return stream;
  }
  std::mutex mutex;
  std::deque<ResponseStream> streams;
};

TEST(ResponseStream, SendsWhatIsWrittenAfterTheHandlerReturned) {
  EventServer test;
  auto client = test.connect();
  client.send(get("/events") + get("/"));
  ResponseStream stream = test.next();
  EXPECT_TRUE(stream.write("data: 1\n\n"));
  EXPECT_EQ(stream.offer("data: 2\n\n"), ResponseStream::Offer::taken);
  stream.finish();
  const auto answer = client.read_response();
  EXPECT_EQ(answer->body, "data: 1\n\ndata: 2\n\n");
  EXPECT_EQ(answer->header("x-content-type-options"), "nosniff");
  EXPECT_EQ(client.read_response()->body, "hello");
  EXPECT_TRUE(eventually([&] { return stream.closed(); }));
  EXPECT_FALSE(stream.write("late"));
}

TEST(ResponseStream, TheHeadLeavesBeforeTheFirstEvent) {
  EventServer test;
  auto client = test.connect();
  client.send(get("/events"));
  ResponseStream stream = test.next();
  EXPECT_EQ(client.read_response(true)->status, 200);
}

TEST(ResponseStream, HasNoBodyForHead) {
  EventServer test;
  auto client = test.connect();
  client.send("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n" + get("/"));
  EXPECT_EQ(client.read_response(true)->header("content-type"), "text/event-stream");
  EXPECT_EQ(client.read_response()->body, "hello");
  EXPECT_TRUE(test.next().closed());
}

TEST(ResponseStream, DroppedUnfinishedCutsTheAnswer) {
  EventServer test;
  auto client = test.connect();
  client.send(get("/events") + get("/"));
  test.next().write("half");
  const std::string all = client.read_to_end();
  EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
  EXPECT_EQ(all.find("hello"), std::string::npos);
}

TEST(ResponseStream, TellsTheProducerThatTheClientIsGone) {
  EventServer test;
  auto client = test.connect();
  client.send(get("/events"));
  ResponseStream stream = test.next();
  client.close();
  EXPECT_TRUE(eventually([&] { return stream.closed(); }));
  EXPECT_TRUE(stream.stop_token().stop_requested());
  EXPECT_EQ(stream.offer("x"), ResponseStream::Offer::closed);
}

TEST(ResponseStream, BlocksAProducerFasterThanItsClientAndLosesNothing) {
  EventServer test(1024);
  auto client = test.connect();
  client.send(get("/events"));
  ResponseStream stream = test.next();
  constexpr int kLines = 200'000;
  std::jthread producer([&] {
    for (int i = 0; i < kLines; ++i)
      if (!stream.write("a line of a log that is not that long\n")) return;
    stream.finish();
  });
  const auto answer = client.read_response();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body.size(), 38UL * kLines);
}

TEST(ResponseStream, OfferSaysFullAndCallsWhenThereIsRoom) {
  EventServer test(100);
  auto client = test.connect();
  client.send(get("/events"));
  ResponseStream stream = test.next();
  const std::string block(100'000, 'x');
  while (stream.offer(block) == ResponseStream::Offer::taken) std::this_thread::yield();
  std::atomic<bool> room = false;
  stream.on_room([&] { room = true; });
  std::jthread reader([&] { client.read_to_end(); });
  EXPECT_TRUE(eventually([&] { return room.load(); }));
  stream.abort();
}

TEST(ResponseStream, ShutdownFiresTheStopTokenAndReleasesTheProducer) {
  EventServer test;
  auto client = test.connect();
  client.send(get("/events"));
  ResponseStream stream = test.next();
  EXPECT_EQ(client.read_response(true)->status, 200);
  test.server->drain();
  EXPECT_TRUE(eventually([&] { return stream.stop_token().stop_requested(); }));
  EXPECT_FALSE(stream.closed()) << "it may still say goodbye";
  EXPECT_TRUE(stream.write("bye"));
  test.server.reset();
  EXPECT_TRUE(stream.closed());
  EXPECT_FALSE(stream.write("x"));
}

}  // namespace
}  // namespace ee::net
