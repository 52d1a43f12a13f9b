#include "net/curl_http_streams.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <optional>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/server.h"
#include "net/server_test_support.h"
#include "net/stream.h"

namespace ee::net {
namespace {

using namespace std::chrono_literals;

/// What a stream brought.
class Seen {
 public:
  HttpStreams::Handlers handlers() {
    return {.on_head =
                [this](const HttpClientResponse& head) {
                  const std::lock_guard lock(mutex_);
                  status_ = head.status;
                  type_ = std::string(head.header("Content-Type").value_or(""));
                  changed_.notify_all();
                  return takes_head;
                },
            .on_bytes =
                [this](std::string_view bytes) {
                  const std::lock_guard lock(mutex_);
                  text_ += bytes;
                  changed_.notify_all();
                  return takes_bytes;
                },
            .on_end =
                [this](std::optional<HttpFailure> failure) {
                  const std::lock_guard lock(mutex_);
                  ++ends_;
                  failure_ = failure;
                  changed_.notify_all();
                }};
  }
  bool wait_text(std::string_view text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5s, [&] { return text_.find(text) != std::string::npos; });
  }
  bool wait_end() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5s, [&] { return ends_ > 0; });
  }
  int status() const { return status_; }
  const std::string& type() const { return type_; }
  std::optional<HttpFailure> failure() const { return failure_; }
  int ends() const { return ends_; }

  bool takes_head = true;
  bool takes_bytes = true;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::string type_;
  int status_ = 0;
  int ends_ = 0;
  std::optional<HttpFailure> failure_;
};

class CurlHttpStreamsTest : public ::testing::Test {
 protected:
  CurlHttpStreamsTest() {
    application_.routes["GET /long"] = {.info = {.route_template = "/long"}, .handler = [this](Request&&) {
                                          Response response{.headers = {{"Content-Type", "application/x-ndjson"}},
                                                            .stream = server_end_.body()};
                                          return response;
                                        }};
    application_.routes["GET /hang"] = {.info = {.route_template = "/hang"}, .handler = [this](Request&& request) {
                                          gate_.pass(request.stop);
                                          return Response{};
                                        }};
    server_ = Server::start({}, application_, clock_, random_).value();
  }
  ~CurlHttpStreamsTest() override { gate_.open(); }
  HttpClientRequest get(const std::string& path) { return {.url = server_->url() + path, .total_timeout = 60s}; }

  FakeClock clock_;
  FakeRandom random_;
  TestApplication application_;
  ResponseStream server_end_;
  Gate gate_;
  std::unique_ptr<Server> server_;
  Seen seen_;
  CurlHttpStreams streams_;
};

TEST_F(CurlHttpStreamsTest, HandsOutPiecesAsTheyCome) {
  const auto stream = streams_.open(get("/long"), 5s, seen_.handlers());
  ASSERT_TRUE(stream);
  ASSERT_TRUE(server_end_.write("one\n"));
  ASSERT_TRUE(seen_.wait_text("one"));
  EXPECT_EQ(seen_.status(), 200);
  EXPECT_EQ(seen_.type(), "application/x-ndjson");
  ASSERT_TRUE(server_end_.write("two\n"));
  ASSERT_TRUE(seen_.wait_text("two"));
  EXPECT_EQ(seen_.ends(), 0);
  server_end_.finish();
  ASSERT_TRUE(seen_.wait_end());
  EXPECT_FALSE(seen_.failure());
}

TEST_F(CurlHttpStreamsTest, AStreamThatIsCutOffSaysSo) {
  const auto stream = streams_.open(get("/long"), 5s, seen_.handlers());
  ASSERT_TRUE(server_end_.write("one\n"));
  ASSERT_TRUE(seen_.wait_text("one"));
  server_end_.abort();
  ASSERT_TRUE(seen_.wait_end());
  EXPECT_EQ(seen_.failure(), HttpFailure::protocol);
}

TEST_F(CurlHttpStreamsTest, DroppingItClosesTheConnection) {
  auto stream = streams_.open(get("/long"), 5s, seen_.handlers());
  ASSERT_TRUE(server_end_.write("one\n"));
  ASSERT_TRUE(seen_.wait_text("one"));
  stream.reset();
  std::mutex mutex;
  std::condition_variable gone;
  bool is_gone = false;
  const std::stop_callback on_gone(server_end_.stop_token(), [&] {
    const std::lock_guard lock(mutex);
    is_gone = true;
    gone.notify_all();
  });
  std::unique_lock lock(mutex);
  EXPECT_TRUE(gone.wait_for(lock, 5s, [&] { return is_gone; }));
  EXPECT_EQ(seen_.ends(), 0) << "nobody is told who does not listen";
}

TEST_F(CurlHttpStreamsTest, AHandlerMayRefuseHeadOrBytes) {
  seen_.takes_head = false;
  const auto stream = streams_.open(get("/long"), 5s, seen_.handlers());
  ASSERT_TRUE(server_end_.write("one\n"));
  ASSERT_TRUE(seen_.wait_end());
  EXPECT_EQ(seen_.failure(), HttpFailure::cancelled);
  Seen other;
  other.takes_bytes = false;
  const auto plain = streams_.open(get("/"), 5s, other.handlers());
  ASSERT_TRUE(other.wait_end());
  EXPECT_EQ(other.failure(), HttpFailure::cancelled);
}

TEST_F(CurlHttpStreamsTest, FailuresHaveNames) {
  const auto failure_of = [&](HttpClientRequest request, Milliseconds head_timeout) {
    Seen seen;
    const auto stream = streams_.open(std::move(request), head_timeout, seen.handlers());
    EXPECT_TRUE(seen.wait_end());
    EXPECT_EQ(seen.ends(), 1);
    return seen.failure();
  };
  EXPECT_EQ(failure_of(get("/hang"), 50ms), HttpFailure::timeout);
  EXPECT_EQ(failure_of({.url = "http://127.0.0.1:1/"}, 5s), HttpFailure::connect);
  EXPECT_EQ(failure_of({.url = "file:///etc/passwd"}, 5s), HttpFailure::bad_url);
  EXPECT_EQ(failure_of({.url = server_->url() + "/", .headers = {{"A", "b\r\nC: d"}}}, 5s), HttpFailure::protocol);
  EXPECT_EQ(failure_of({.url = server_->url() + "/", .addresses = AddressPolicy::public_only}, 5s),
            HttpFailure::address_refused);
  EXPECT_EQ(failure_of(get("/"), 5s), std::nullopt);
}

TEST_F(CurlHttpStreamsTest, ThereIsABoundOnOpenStreams) {
  // A peer that takes connections and says nothing.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1024), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string silent = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  std::vector<std::unique_ptr<HttpStreams::Stream>> open;
  for (std::size_t i = 0; i < CurlHttpStreams::kMaxStreams; ++i) {
    open.push_back(streams_.open({.url = silent}, 60s, {}));
    ASSERT_TRUE(open.back());
  }
  EXPECT_FALSE(streams_.open({.url = silent}, 60s, {}));
  open.pop_back();
  std::unique_ptr<HttpStreams::Stream> next;
  for (const auto until = std::chrono::steady_clock::now() + 5s; !next && std::chrono::steady_clock::now() < until;)
    next = streams_.open({.url = silent}, 60s, {});
  EXPECT_TRUE(next) << "its place was not given back";
  ::close(listener);
}

}  // namespace
}  // namespace ee::net
