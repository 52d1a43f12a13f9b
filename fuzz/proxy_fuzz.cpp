// covers: S03_PRX_021 (with http_head_fuzz.cpp; both corpora run as tests, and tests/e2e/reserved_path_test.cpp)
// What the proxy makes of outside bytes: the path of a request (nothing may lead to the agent's own API) and the head
// of a workload's answer. The first byte says which, and in what pieces a head arrives, which must not matter.
#include <algorithm>
#include <cstdint>
#include <string>

#include "agent/request_path.h"
#include "common/require.h"
#include "cp/domain/proxy_path.h"
#include "net/http.h"
#include "net/proxy/hop_fields.h"
#include "net/proxy/response_head.h"

namespace {

using ee::require;
using namespace ee;

std::string decode(std::string_view text) {
  std::string out;
  const auto value = [](char c) {
    const std::size_t at = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
    return at == std::string_view::npos || c < '0' ? -1 : static_cast<int>(at);
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && value(text[i + 1]) >= 0 && value(text[i + 2]) >= 0;
    out += escape ? static_cast<char>(value(text[i + 1]) * 16 + value(text[i + 2])) : text[i];
    if (escape) i += 2;
  }
  return out;
}

/// A server's own reading: RFC 3986 section 5.2.4 on whole segments.
bool reaches_agent(std::string_view path) {
  std::string first;
  int depth = 0;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, slash - at);
    at = slash + 1;
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      depth = std::max(depth - 1, 0);
      continue;
    }
    if (depth++ == 0) first = segment;
  }
  return depth > 0 && first == ".easyenclave";
}

void check_path(std::string_view path) {
  const cp::ProxyPath read = cp::read_proxy_path(path);
  if (read.kind == cp::ProxyPathKind::service) {
    require(path.ends_with(read.rest) && read.rest.starts_with('/'));
    const std::string once = decode(read.rest);
    require(!reaches_agent(read.rest) && !reaches_agent(once) && !reaches_agent(decode(once)));
    require(agent::classify_path(read.rest).kind != agent::PathKind::reserved);
    require(!cp::routing_path(read.rest).starts_with("/.easyenclave/"));
  }
  if (read.kind == cp::ProxyPathKind::service || read.kind == cp::ProxyPathKind::missing_slash)
    require(read.service.find_first_of(std::string_view("/\\.%\0", 5)) == std::string::npos);
  require((cp::read_host_path(path).kind == cp::ProxyPathKind::reserved) == cp::is_reserved_path(path));
  const std::string name = cp::service_of_host(path, "apps.example");
  require(name.find_first_of(std::string_view("./:\0", 4)) == std::string::npos);
}

void check_head(std::string_view bytes, std::size_t piece) {
  net::ResponseHeadReader whole;
  const net::HeadStatus status = whole.read(bytes);
  net::ResponseHeadReader reader;
  net::HeadStatus in_pieces = net::HeadStatus::incomplete;
  for (std::size_t have = 0; in_pieces == net::HeadStatus::incomplete;) {
    have = std::min(have + piece, bytes.size());
    in_pieces = reader.read(bytes.substr(0, have));
    if (have == bytes.size()) break;
  }
  require(status == in_pieces);
  if (status != net::HeadStatus::complete) return;
  require(whole.size() == reader.size() && whole.size() <= bytes.size());
  const net::ResponseHead& head = whole.head();
  require(head.status >= 100 && head.status <= 599 && !(head.chunked && head.content_length));
  const net::HopFields hop(head.fields);
  for (const net::HeadField& field : head.fields) {
    require(!field.name.empty());
    for (const std::string_view text : {field.name, field.value})
      require(text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    if (net::equal_ignoring_case(field.name, "content-length")) require(hop.drops(field.name));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'p')
    check_path(rest);
  else
    check_head(rest, std::max<std::size_t>(data[0] % 32, 1));
  return 0;
}
