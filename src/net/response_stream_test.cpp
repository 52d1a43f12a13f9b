#include <deque>

#include "net/stream_test_support.h"

namespace ee::net {
namespace {

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
