#include <gtest/gtest.h>

#include "net/server_test_support.h"
#include "tests/support/smuggling.h"

namespace ee::net {
namespace {

using Sender = std::function<void(ee::testing::RawClient&, const std::string&)>;

/// Sends the bytes of a case, and checks what the application saw and what came back.
void run(const ee::testing::SmugglingCase& one, const Sender& send) {
  TestServer test;
  test.start();
  auto client = test.connect();
  send(client, one.bytes);
  for (int i = 0; i < one.served; ++i) {
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
  }
  if (one.refusal != 0) {
    const auto response = client.read_response();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, one.refusal);
    EXPECT_EQ(response->header("connection"), "close");
    EXPECT_EQ(response->header("content-type"), "application/problem+json");
  } else {
    client.half_close();  // and nothing is left over that the server would answer
  }
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_EQ(test.app.requests().size(), static_cast<std::size_t>(one.served));
}

void run_corpus(const Sender& send) {
  for (const ee::testing::SmugglingCase& one : ee::testing::smuggling_cases()) {
    SCOPED_TRACE("line " + std::to_string(one.line));
    EXPECT_NO_THROW(run(one, send));
  }
}

// The corpus has 414 and 431 at their limits too.
// covers: S05_HTTP_04, S05_HTTP_05, S05_HTTP_12
TEST(Smuggling, EveryCaseIsReadAsOneThingOrRefused) {
  run_corpus([](ee::testing::RawClient& client, const std::string& bytes) { client.send(bytes); });
}

TEST(Smuggling, TheSameWhenTheBytesComeInTwoPieces) {
  run_corpus([](ee::testing::RawClient& client, const std::string& bytes) {
    client.send(bytes.substr(0, bytes.size() / 2));
    client.send(bytes.substr(bytes.size() / 2));
  });
}

}  // namespace
}  // namespace ee::net
