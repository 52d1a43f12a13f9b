#include "net/stream_test_support.h"

namespace ee::net {
namespace {

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

}  // namespace
}  // namespace ee::net
