#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/json.h"
#include "common/time.h"

namespace ee::cp {

struct AgentLogLine {
  std::string at;
  std::string container;
  std::string stream;
  std::string line;
  bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(AgentLogLine, (), (at, container, stream, line, truncated))
constexpr std::string_view json_name(json::For<AgentLogLine> /*type*/) { return "AgentLogLine"; }

/// One record of an agent's NDJSON (02 section 15.3): a line, or the end.
struct AgentLogRecord {
  bool is_end = false;
  std::int64_t dropped = 0;  ///< of the end: lines that the agent itself had lost
  UtcTime at = {};
  AgentLogLine line = {};
};

/// Longest record: a line of 16 KiB whose every byte is escaped, and more.
inline constexpr std::size_t kMaxAgentRecord = 128UL * 1024;
inline constexpr std::size_t kMaxAgentLine = 16UL * 1024;

/// Reads one record, which is a tenant's and an agent's and so believed in nothing: members of other forms, a name that
/// is no container's, a stream that there is not and a line over 16 KiB are `agent_bad_response`. What looks like a
/// credential is masked.
Result<AgentLogRecord> parse_agent_record(std::string_view text);

struct AgentLogAnswer {
  std::vector<AgentLogRecord> records = {};
  std::int64_t dropped = 0;
  bool ended = false;  ///< the end record is there
};
/// A whole answer. Errors: `agent_bad_response`, also for records behind the end.
Result<AgentLogAnswer> parse_agent_answer(std::string_view ndjson);
/// The same, and what was read before the error stays in `answer`.
Result<void> read_agent_answer(std::string_view ndjson, AgentLogAnswer& answer);

}  // namespace ee::cp
