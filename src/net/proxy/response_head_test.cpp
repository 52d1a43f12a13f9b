#include "net/proxy/response_head.h"

#include <gtest/gtest.h>

#include <string>

namespace ee::net {
namespace {

HeadStatus read(const std::string& bytes) { return ResponseHeadReader().read(bytes); }

TEST(ResponseHeadReader, ReadsStatusFieldsAndFraming) {
  const std::string bytes =
      "HTTP/1.1 404 Not Found\r\nContent-Type:  text/plain \r\nContent-Length: 12\r\nConnection: a, Close\r\n\r\nrest";
  ResponseHeadReader reader;
  ASSERT_EQ(reader.read(bytes), HeadStatus::complete);
  EXPECT_EQ(reader.size(), bytes.size() - 4);
  EXPECT_EQ(reader.head().status, 404);
  EXPECT_EQ(reader.head().field("content-type"), "text/plain");
  EXPECT_EQ(reader.head().content_length, 12U);
  EXPECT_FALSE(reader.head().keep_alive);
  for (std::size_t cut = 0; cut < bytes.size() - 4; ++cut) {
    ResponseHeadReader piecewise;
    ASSERT_EQ(piecewise.read(bytes.substr(0, cut)), HeadStatus::incomplete) << cut;
    ASSERT_EQ(piecewise.read(bytes), HeadStatus::complete) << cut;
  }
}

TEST(ResponseHeadReader, KeepsAliveAsTheVersionSays) {
  const auto keep_alive = [](const std::string& bytes) {
    ResponseHeadReader reader;
    EXPECT_EQ(reader.read(bytes), HeadStatus::complete);
    return reader.head().keep_alive;
  };
  EXPECT_TRUE(keep_alive("HTTP/1.1 200\r\n\r\n"));
  EXPECT_FALSE(keep_alive("HTTP/1.0 200 OK\r\n\r\n"));
  EXPECT_TRUE(keep_alive("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
}

TEST(ResponseHeadReader, RefusesWhatCouldBeReadInTwoWays) {
  for (const char* bytes : {"garbage\r\n\r\n",
                            "HTTP/2 200 OK\r\n\r\n",
                            "HTTP/1.2 200 OK\r\n\r\n",
                            "HTTP/1.1 20 OK\r\n\r\n",
                            "HTTP/1.1 2000 OK\r\n\r\n",
                            "HTTP/1.1 099 OK\r\n\r\n",
                            "HTTP/1.1 600 OK\r\n\r\n",
                            "HTTP/1.1  200 OK\r\n\r\n",
                            "HTTP/1.1 200 OK\n\n",
                            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
                            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"})
    EXPECT_EQ(read(bytes), HeadStatus::refused) << bytes;
  EXPECT_EQ(read(std::string("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", 24)), HeadStatus::refused);
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nA: " + std::string(70'000, 'x')), HeadStatus::refused);
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 300; ++i) many += "A: b\r\n";
  EXPECT_EQ(read(many + "\r\n"), HeadStatus::refused);
}

}  // namespace
}  // namespace ee::net
