// What an agent answers when it is asked for lines of a container. The first byte bounds what is kept.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/bytes.h"
#include "cp/service/agent_relay.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t most = std::size_t{data[0]} * 4;
  const auto logs = ee::cp::parse_agent_logs(ee::text_of({data + 1, size - 1}), most);
  if (!logs) {
    expect(logs.error().code == ee::ErrorCode::agent_bad_response);
    return 0;
  }
  expect(logs->dropped >= 0);
  std::size_t kept = 0;
  for (const ee::cp::AgentLogLine& line : logs->items) {
    expect(ee::parse_rfc3339(line.at).has_value());
    kept += line.line.size();
  }
  expect(kept <= most);
  return 0;
}
