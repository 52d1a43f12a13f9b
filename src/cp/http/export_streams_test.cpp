#include "cp/http/export_streams.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/server.h"
#include "tests/support/memory_in_use.h"
#include "tests/support/raw_client.h"

namespace ee::cp {
namespace {

using testing::RawClient;

/// A server each of whose answers is an export.
class ExportStreamsTest : public ::testing::Test, public net::Application {
 protected:
  ExportStreamsTest() { server_ = net::Server::start({}, *this, clock_, random_).value(); }
  ~ExportStreamsTest() override { server_.reset(); }

  net::Admission admit(const net::RequestHead&) override { return {.route = &route_}; }
  net::Response handle(net::Request&&) override {
    auto place = streams_.reserve();
    if (!place) return {.status = 429};
    return streams_.start(std::move(*place), "application/gzip", "x.tar.gz", produce_);
  }
  RawClient ask() {
    RawClient client(server_->port());
    client.send("GET / HTTP/1.1\r\nHost: cp\r\n\r\n");
    return client;
  }

  FakeClock clock_;
  FakeRandom random_;
  net::RouteInfo route_{.route_template = "/"};
  ExportStreams::Produce produce_;
  ExportStreams streams_{clock_, 2, Seconds(600)};
  std::unique_ptr<net::Server> server_;
};

// A whole gibibyte, compressed, hashed and sent to a reader; no more than parts of it are ever in memory.
// covers: S03_LOG_007
TEST_F(ExportStreamsTest, S03_LOG_007_a_gibibyte_as_an_archive_needs_less_than_64_mebibytes) {
  std::string line = "{\"line\":\"" + std::string(60'000, 'x') + "\"}";
  for (std::size_t i = 20; i < line.size() - 2; i += 97) line[i] = static_cast<char>('a' + i % 26);
  std::atomic<std::int64_t> most = 0;
  std::atomic<std::uint64_t> raw = 0;
  const std::int64_t before = testing::memory_in_use_kib();
  produce_ = [&](const ByteSink& sink, const std::stop_token&) {
    const auto writer = archive_writer(sink, {}, clock_);
    while (writer->line({.kind = "control_plane", .path = "control-plane.ndjson"}, line))
      if (writer->lines() % 256 == 0) most = std::max(most.load(), testing::memory_in_use_kib());
    raw = writer->raw_bytes();
    writer->finish("{}");
    most = std::max(most.load(), testing::memory_in_use_kib());
  };
  RawClient client = ask();
  std::uint64_t read = 0;
  std::string end;
  while (const auto bytes = client.read_some()) {
    read += bytes->size();
    end = (end + *bytes).substr(std::max<std::size_t>(end.size() + bytes->size(), 7) - 7);
    if (end.ends_with("\r\n0\r\n\r\n")) break;
  }
  EXPECT_TRUE(end.ends_with("\r\n0\r\n\r\n")) << "the answer is whole";
  EXPECT_GT(raw.load(), 1024ULL * 1024 * 1024 - 2 * line.size());
  EXPECT_GT(read, 1024U * 1024);
  EXPECT_LT(most - before, 64 * 1024) << "KiB of growth";
}

TEST_F(ExportStreamsTest, AReaderThatIsTooSlowIsCutOffWhenTheTimeIsOver) {
  std::atomic<bool> stopped = false;
  produce_ = [&](const ByteSink& sink, const std::stop_token& stop) {
    while (sink(std::string(60'000, 'x'))) {
    }
    stopped = stop.stop_requested();
  };
  RawClient slow(server_->port());
  slow.shrink_receive_buffer();
  slow.send("GET / HTTP/1.1\r\nHost: cp\r\n\r\n");
  ASSERT_TRUE(slow.read_some());
  EXPECT_EQ(streams_.running(), 1U);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (streams_.running() > 0 && std::chrono::steady_clock::now() < until) clock_.advance(Seconds(5));
  EXPECT_EQ(streams_.running(), 0U);
  EXPECT_TRUE(stopped);
}

TEST_F(ExportStreamsTest, APlaceThatIsNotUsedIsGivenBack) {
  {
    const auto first = streams_.reserve();
    const auto second = streams_.reserve();
    ASSERT_TRUE(first && second);
    const auto third = streams_.reserve();
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::export_busy);
  }
  EXPECT_EQ(streams_.running(), 0U);
}

}  // namespace
}  // namespace ee::cp
