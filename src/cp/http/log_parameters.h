#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "cp/http/query.h"
#include "cp/http/route.h"
#include "cp/service/container_logs.h"
#include "cp/service/log_buffer.h"

namespace ee::cp {

/// A time of a query: RFC 3339, or how long ago: `90s`, `5m`, `1h`, `7d`, at most a year.
struct LogTime {
  std::optional<UtcTime> at = {};
  Seconds ago{};
  UtcTime resolved(UtcTime now) const { return at ? *at : now - ago; }
  /// As agents read it.
  std::string for_agent() const;
};
std::optional<LogTime> parse_log_time(std::string_view text);

/// The number of a parameter, within bounds. Errors: invalid_request.
Result<std::int64_t> number_of(const Query& query, std::string_view name, std::int64_t most, std::int64_t otherwise);
/// Nothing when absent. Errors: invalid_request.
Result<std::optional<LogTime>> log_time_of(const Query& query, std::string_view name);
/// A text of at most `most` bytes; empty when absent. Errors: invalid_request.
Result<std::string> short_text_of(const Query& query, std::string_view name, std::size_t most);
/// A UUID; empty when absent. Errors: invalid_request.
Result<std::string> uuid_text_of(const Query& query, std::string_view name);
/// Errors: invalid_request.
Result<log::Level> level_of(const Query& query, std::string_view name, log::Level otherwise);

/// `min_level`, `since`, `until`, `component`, `request_id`, `deployment_id`, `agent_id`, `q`.
Result<LogFilter> log_filter_of(const Query& query, UtcTime now);
/// `container`, `since`, `until`, `tail`, `stream`, `q`.
Result<ContainerLogsWanted> container_logs_of(const Query& query);

/// What the routes say of these parameters.
std::vector<QueryParameter> log_filter_parameters();
std::vector<QueryParameter> container_log_parameters();

}  // namespace ee::cp
