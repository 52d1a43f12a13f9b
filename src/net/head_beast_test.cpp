// Boost.Beast as a second opinion on heads and chunks, and the record of why it is not the first: what it lets pass.
#include <gtest/gtest.h>

#include "net/asio.h"
// After the definitions above.
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "net/chunked.h"
#include "net/head.h"
#include "tests/support/smuggling.h"

namespace ee::net {
namespace {

namespace http = boost::beast::http;
using Parser = http::request_parser<http::string_body>;

/// All of `bytes` put into Beast's parser; nothing when it refuses or wants more.
std::optional<http::request<http::string_body>> beast_reads(const std::string& bytes, std::size_t* used = nullptr) {
  Parser parser;
  parser.eager(true);
  parser.header_limit(64 * 1024);
  boost::system::error_code error;
  const std::size_t count = parser.put(asio::buffer(bytes), error);
  if (used) *used = count;
  if (error || !parser.is_done()) return std::nullopt;
  return parser.release();
}

TEST(HeadReader, AcceptsNothingThatBeastReadsDifferently) {
  int compared = 0;
  for (const ee::testing::SmugglingCase& one : ee::testing::smuggling_cases()) {
    HeadReader reader;
    const std::string& bytes = one.bytes;
    if (bytes.starts_with('\r') || reader.read(bytes) != HeadStatus::complete) continue;
    const Head& head = reader.head();
    std::string body;
    std::size_t taken = 0;
    if (head.chunked) {
      if (ChunkedDecoder(1024).decode(std::string_view(bytes).substr(reader.size()), taken, &body) !=
          ChunkStatus::complete)
        continue;
    } else {
      taken = static_cast<std::size_t>(head.content_length.value_or(0));
      body = bytes.substr(reader.size(), taken);
    }
    std::size_t used = 0;
    const auto other = beast_reads(bytes, &used);
    ASSERT_TRUE(other) << "line " << one.line;
    EXPECT_EQ(used, reader.size() + taken) << "line " << one.line << ": they differ in where the request ends";
    EXPECT_EQ(other->method_string(), head.method);
    EXPECT_EQ(other->body(), body);
    std::size_t fields = 0;
    for (const auto& field : *other) {
      if (head.chunked && fields == head.fields.size()) break;  // Beast adds the trailer to them
      ASSERT_LT(fields, head.fields.size());
      EXPECT_EQ(field.name_string(), head.fields[fields].name);
      EXPECT_EQ(field.value(), head.fields[fields].value);
      ++fields;
    }
    EXPECT_GE(head.fields.size(), fields);
    ++compared;
  }
  EXPECT_GT(compared, 15);
}

// If one of these fails after an upgrade, Beast has become stricter there; our own checks stay.
TEST(BeastParser, LetsPassWhatOurHeadReaderRefuses) {
  for (const char* head : {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
                           "GET / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                           "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"}) {
    EXPECT_TRUE(beast_reads(head)) << head;
    HeadReader reader;
    EXPECT_EQ(reader.read(head), HeadStatus::refused) << head;
  }
}

}  // namespace
}  // namespace ee::net
