#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ee::bench {

/// One thread, many keep-alive connections, one request in flight on each: a cheap client, so that what it measures is
/// the server. HTTP/1.1 with Content-Length answers only.
struct LoadOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  int connections = 64;
  double seconds = 5;              ///< stop after this long ...
  std::uint64_t max_requests = 0;  ///< ... or after so many answers (0: no such limit)
};

struct LoadResult {
  std::uint64_t answers = 0;
  std::uint64_t expected_status = 0;  ///< how many had the status asked for
  std::uint64_t errors = 0;           ///< connections lost, malformed answers
  double seconds = 0;
  std::vector<std::uint32_t> latencies_us;  ///< of a sample of at most 1,000,000

  double rate() const { return seconds > 0 ? static_cast<double>(answers) / seconds : 0; }
  std::uint32_t percentile_us(double fraction) const;
};

/// `next(connection, out)` writes the next request of a connection, or returns false to end it.
/// `answered(connection, status, body)` sees every answer.
LoadResult run_load(const LoadOptions& options, int want_status, const std::function<bool(int, std::string&)>& next,
                    const std::function<void(int, int, std::string_view)>& answered = {});

/// A connected, blocking socket, closed on exec. Throws when nobody listens.
int connect_to(const LoadOptions& options);

/// Status and lengths of the answer at the start of `in`, when its head is complete.
struct ParsedAnswer {
  int status = 0;
  std::size_t head = 0;   ///< bytes of the head
  std::size_t total = 0;  ///< and of the body
};
std::optional<ParsedAnswer> parse_answer(std::string_view in);

/// One blocking call, for set-up.
struct SimpleAnswer {
  int status = 0;
  std::string head;
  std::string body;
};
SimpleAnswer call(const LoadOptions& options, const std::string& request);

}  // namespace ee::bench
