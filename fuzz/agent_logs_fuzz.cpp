// What an agent answers when it is asked for lines of a container. The first byte bounds what is kept.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/bytes.h"
#include "common/id.h"
#include "cp/service/agent_log_records.h"
#include "cp/service/agent_relay.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // What is kept of an answer that goes wrong is what was good before that.
  const std::string_view text = ee::text_of({data + 1, size - 1});
  ee::cp::AgentLogAnswer part;
  const bool whole = ee::cp::read_agent_answer(text, part).has_value();
  expect(whole == ee::cp::parse_agent_answer(text).has_value());
  for (const ee::cp::AgentLogRecord& record : part.records) {
    expect(!record.is_end && ee::parse_rfc3339(record.line.at) == record.at);
    expect(record.line.container == "_agent" || ee::is_dns_label(record.line.container));
  }
  const std::size_t most = std::size_t{data[0]} * 4;
  const auto logs = ee::cp::parse_agent_logs(text, most);
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
