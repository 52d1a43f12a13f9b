// Everything that reads a peer's bytes before the application does: request heads, chunked bodies, and what is made of
// paths and common fields. The first byte says in what pieces the rest arrives, which must not matter.
#include <algorithm>
#include <cstdint>
#include <string>

#include "common/require.h"
#include "net/chunked.h"
#include "net/client_address.h"
#include "net/head.h"
#include "net/http.h"
#include "net/negotiate.h"
#include "net/router.h"

namespace {

using ee::require;
using namespace ee::net;

HeadStatus read_in_pieces(HeadReader& reader, std::string_view bytes, std::size_t piece) {
  for (std::size_t have = std::min(piece, bytes.size());; have = std::min(have + piece, bytes.size())) {
    const HeadStatus status = reader.read(bytes.substr(0, have));
    if (status != HeadStatus::incomplete || have == bytes.size()) return status;
  }
}

/// What the rest of the server relies on.
void check_head(const Head& head) {
  require(!head.method.empty() && !head.path.empty() && (head.path.front() == '/' || head.path == "*"));
  require(!(head.chunked && head.content_length) && !(head.chunked && head.http_1_0));
  std::size_t hosts = 0;
  std::size_t framings = 0;
  for (const HeadField& field : head.fields) {
    hosts += equal_ignoring_case(field.name, "host") ? 1 : 0;
    const bool framing =
        equal_ignoring_case(field.name, "content-length") || equal_ignoring_case(field.name, "transfer-encoding");
    framings += framing ? 1 : 0;
    for (const std::string_view text : {field.name, field.value})
      require(text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  }
  require(hosts == 1 && framings <= 1);
}

/// The same head written anew, plainly, must read the same.
void check_rewritten(const Head& head) {
  std::string plain = std::string(head.method) + " " + std::string(head.path);
  if (!head.query.empty()) plain += "?" + std::string(head.query);
  plain += head.http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  for (const HeadField& field : head.fields)
    plain += std::string(field.name) + ": " + std::string(field.value) + "\r\n";
  plain += "\r\n";
  HeadReader reader({.max_request_line_bytes = 1 << 20, .max_bytes = 1 << 21, .max_fields = 1000});
  require(reader.read(plain) == HeadStatus::complete && reader.size() == plain.size());
  const Head& again = reader.head();
  require(again.method == head.method && again.path == head.path && again.query == head.query &&
          again.host == head.host && again.content_length == head.content_length && again.chunked == head.chunked &&
          again.keep_alive == head.keep_alive && again.fields.size() == head.fields.size());
}

void check_chunks(std::string_view bytes, std::size_t piece) {
  constexpr std::size_t kMaxBody = 4096;
  std::string whole;
  std::size_t taken = 0;
  const ChunkStatus status = ChunkedDecoder(kMaxBody).decode(bytes, taken, &whole);
  require(taken <= bytes.size() && whole.size() <= kMaxBody);
  ChunkedDecoder decoder(kMaxBody);
  std::string body;
  std::string pending;
  std::size_t consumed = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    pending += bytes.substr(at, piece);
    std::size_t now = 0;
    const ChunkStatus step = decoder.decode(pending, now, &body);
    pending.erase(0, now);
    consumed += now;
    if (step == ChunkStatus::incomplete) continue;
    require(step == status && body == whole);
    if (step == ChunkStatus::complete) require(consumed == taken);
    return;
  }
  require(status == ChunkStatus::incomplete && body == whole);
}

const Router& router() {
  static const Router instance = [] {
    Router made;
    made.add("GET /api/v1/agents/{agent_id}");
    made.add("POST /api/v1/agents/{agent_id}/heartbeat");
    made.add("* /proxy/{service}/{path...}");
    return made;
  }();
  return instance;
}

void use_head(const Head& head) {
  const RouteMatch match = router().match(head.method, head.path);
  if (match.outcome == RouteOutcome::found)
    for (const RouteParam& param : match.params) require(!param.value.empty());
  static const TrustedProxies proxies({*parse_network("10.0.0.0/8")});
  require(!proxies.client_of("10.0.0.1", parse_ip("10.0.0.1"), head.fields).empty());
  for (const HeadField& field : head.fields) {
    (void)accepts_gzip(field.value);
    (void)accepts_media_type(field.value, "application/json");
    (void)is_media_type(field.value, "application/json");
    (void)is_traceparent(field.value);
    (void)is_request_id(field.value);
    (void)rate_limit_key(field.value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] % 16 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const HeadLimits limits{.max_request_line_bytes = 512, .max_bytes = 2048, .max_fields = 20};
  HeadReader whole(limits);
  HeadReader cut(limits);
  const HeadStatus status = whole.read(bytes);
  require(read_in_pieces(cut, bytes, piece) == status);
  if (status != HeadStatus::complete) return 0;
  require(whole.size() <= bytes.size() && cut.size() == whole.size() &&
          cut.head().fields.size() == whole.head().fields.size());
  check_head(whole.head());
  check_rewritten(whole.head());
  use_head(whole.head());
  if (whole.head().chunked) check_chunks(bytes.substr(whole.size()), piece);
  return 0;
}
