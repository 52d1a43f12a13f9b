#include "net/head.h"

#include <gtest/gtest.h>

#include <fstream>

#include "net/chunked.h"
#include "tests/support/smuggling.h"

namespace ee::net {
namespace {

/// What one reader makes of bytes that arrive in pieces of `piece` bytes.
struct Outcome {
  HeadStatus status = HeadStatus::incomplete;
  std::string text = {};
  bool operator==(const Outcome&) const = default;
};

Outcome read_in_pieces(const std::string& bytes, std::size_t piece, HeadLimits limits = {}) {
  HeadReader reader(limits);
  for (std::size_t have = piece;; have += piece) {
    have = std::min(have, bytes.size());
    const std::string so_far = bytes.substr(0, have);  // another place in memory each time
    const HeadStatus status = reader.read(so_far);
    if (status == HeadStatus::incomplete && have < bytes.size()) continue;
    Outcome outcome{.status = status};
    if (status == HeadStatus::refused)
      outcome.text = std::string(slug(reader.error())) + ": " + std::string(reader.reason());
    if (status == HeadStatus::complete) {
      const Head& head = reader.head();
      outcome.text = std::string(head.method) + " " + std::string(head.path) + " " + std::to_string(reader.size());
      for (const HeadField& field : head.fields)
        outcome.text += "\n" + std::string(field.name) + "=" + std::string(field.value);
    }
    return outcome;
  }
}

std::string with_fields(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n"; }

TEST(HeadReader, ReadsTheParts) {
  const std::string bytes =
      "POST /a%20b/c?d=e?f HTTP/1.1\r\nHost: example.org:81\r\nX-One:  two words \t\r\ncontent-length: 12\r\n"
      "Expect: 100-continue\r\n\r\nrest";
  HeadReader reader;

  ASSERT_EQ(reader.read(bytes), HeadStatus::complete);

  const Head& head = reader.head();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/a%20b/c");
  EXPECT_EQ(head.query, "d=e?f");
  EXPECT_EQ(head.host, "example.org:81");
  EXPECT_EQ(head.field("x-one"), "two words");
  EXPECT_EQ(head.field("x-two"), std::nullopt);
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_FALSE(head.chunked);
  EXPECT_FALSE(head.http_1_0);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_TRUE(head.expects_continue);
  EXPECT_TRUE(head.has_body());
  EXPECT_EQ(reader.size(), bytes.size() - 4);
}

TEST(HeadReader, TakesTheTargetApart) {
  const auto path_of = [](const std::string& target, const std::string& method = "GET") -> std::string {
    HeadReader reader;
    const std::string bytes = method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
    if (reader.read(bytes) != HeadStatus::complete) return "refused";
    return std::string(reader.head().path) + " " + std::string(reader.head().query);
  };
  EXPECT_EQ(path_of("/"), "/ ");
  EXPECT_EQ(path_of("/?"), "/ ");
  EXPECT_EQ(path_of("//x"), "//x ");
  EXPECT_EQ(path_of("http://x"), "/ ");
  EXPECT_EQ(path_of("http://X/a?b"), "/a b");
  EXPECT_EQ(path_of("*", "OPTIONS"), "* ");
  EXPECT_EQ(path_of("*"), "refused");
  EXPECT_EQ(path_of("http://x?a"), "refused");
  EXPECT_EQ(path_of("http://x#a"), "refused");
}

TEST(HeadReader, KnowsWhetherTheConnectionStays) {
  const auto keeps = [](const std::string& version, const std::string& fields) {
    HeadReader reader;
    const std::string bytes = "GET / HTTP/" + version + "\r\nHost: x\r\n" + fields + "\r\n";
    EXPECT_EQ(reader.read(bytes), HeadStatus::complete);
    return reader.head().keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_TRUE(keeps("1.1", "Connection: upgrade\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive , Close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
}

// Where the bytes are cut must not matter, or a slow sender gets another answer than a fast one.
TEST(HeadReader, DoesNotCareHowTheBytesArrive) {
  for (const ee::testing::SmugglingCase& one : ee::testing::smuggling_cases()) {
    const Outcome whole = read_in_pieces(one.bytes, one.bytes.size());
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 64U}) {
      const Outcome cut = read_in_pieces(one.bytes, piece);
      ASSERT_EQ(cut.status, whole.status) << "line " << one.line << " in pieces of " << piece;
      if (whole.status == HeadStatus::complete) {
        ASSERT_EQ(cut.text, whole.text) << "line " << one.line;
      }
    }
  }
}

TEST(HeadReader, ServesOneRequestAfterAnother) {
  HeadReader reader;
  const std::string first = "POST /a?b HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
  const std::string second = "GET /c HTTP/1.1\r\nHost: y\r\n\r\n";
  ASSERT_EQ(reader.read(first), HeadStatus::complete);

  reader.reset();

  ASSERT_EQ(reader.read(second), HeadStatus::complete);
  const Head& head = reader.head();
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.path, "/c");
  EXPECT_EQ(head.query, "");
  EXPECT_EQ(head.host, "y");
  EXPECT_EQ(head.fields.size(), 1U);
  EXPECT_FALSE(head.content_length);
  EXPECT_FALSE(head.http_1_0);
}

TEST(HeadReader, HoldsItsLimitsExactly) {
  const HeadLimits limits{.max_request_line_bytes = 20, .max_bytes = 60, .max_fields = 3};
  const auto status = [&](const std::string& bytes) { return read_in_pieces(bytes, bytes.size(), limits).text; };

  EXPECT_EQ(status("GET /123456 HTTP/1.1\r\nHost: x\r\n\r\n").substr(0, 3), "GET");
  EXPECT_EQ(status("GET /1234567 HTTP/1.1\r\nHost: x\r\n\r\n"), "uri_too_long: request line too long");
  EXPECT_EQ(status(std::string(22, 'A')), "uri_too_long: request line too long");
  EXPECT_EQ(status(with_fields("A:\r\nB:\r\n")).substr(0, 3), "GET");
  EXPECT_EQ(status(with_fields("A:\r\nB:\r\nC:\r\n")), "headers_too_large: too many header fields");
  const std::string head = with_fields("A: ");  // closes with CRLF of the field; the empty line is to come
  const std::string fits = head.substr(0, head.size() - 2) + std::string(60 - head.size() - 2, 'b') + "\r\n\r\n";
  ASSERT_EQ(fits.size(), 60U);
  EXPECT_EQ(status(fits).substr(0, 3), "GET");
  std::string longer = fits;
  longer.insert(30, "b");
  EXPECT_EQ(status(longer), "headers_too_large: head too large");
  EXPECT_EQ(status(longer.substr(0, 60)), "headers_too_large: head too large");
}

TEST(ChunkedDecoder, DecodesHoweverTheBytesArrive) {
  const std::string wire = "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: dropped\r\n\r\nNEXT";
  for (std::size_t piece = 1; piece <= wire.size(); ++piece) {
    ChunkedDecoder decoder(11);
    std::string body;
    std::string pending;
    ChunkStatus status = ChunkStatus::incomplete;
    std::size_t taken_in_all = 0;
    for (std::size_t at = 0; at < wire.size() && status == ChunkStatus::incomplete; at += piece) {
      pending += wire.substr(at, piece);
      std::size_t taken = 0;
      status = decoder.decode(pending, taken, &body);
      pending.erase(0, taken);
      taken_in_all += taken;
    }
    ASSERT_EQ(status, ChunkStatus::complete) << piece;
    EXPECT_EQ(body, "hello world");
    EXPECT_EQ(taken_in_all, wire.size() - 4);
  }
}

TEST(ChunkedDecoder, BoundsTheBody) {
  std::size_t taken = 0;
  std::string body;
  EXPECT_EQ(ChunkedDecoder(4).decode("5\r\nhello\r\n", taken, &body), ChunkStatus::too_large);
  EXPECT_EQ(body, "");
  EXPECT_EQ(ChunkedDecoder(5).decode("5\r\nhello\r\n0\r\n\r\n", taken, nullptr), ChunkStatus::complete);
  EXPECT_EQ(ChunkedDecoder(5).decode("5\r\nhello\r\n1\r\n", taken, nullptr), ChunkStatus::too_large);
}

}  // namespace
}  // namespace ee::net
