#pragma once
#include <boost/describe.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/http_streams.h"
#include "cp/domain/cursor.h"
#include "cp/http/event_streams.h"
#include "cp/http/export_streams.h"
#include "cp/http/route.h"
#include "cp/service/authenticator.h"
#include "cp/service/container_logs.h"
#include "cp/service/log_buffer.h"
#include "cp/service/log_export.h"

namespace ee::cp {

/// The log of the control plane, those of containers, and exports of both (03 section 10).
struct LogRoutes {
  const LogBuffer& buffer;
  const ContainerLogs& containers;
  LogExport& exports;
  AgentClient& agents;
  HttpStreams& streams;
  EventStreams& log_streams;        ///< of the control plane's log
  EventStreams& container_streams;  ///< of containers' logs; may wait for the database
  ExportStreams& export_streams;    ///< for administrators
  ExportStreams& tenant_exports;    ///< for everybody else
  Authenticator& authenticator;
  const CursorCodec& cursors;
  Clock& clock;
  std::string replica;
};

void add_log_routes(std::vector<Route>& table, LogRoutes& context);
void add_export_routes(std::vector<Route>& table, LogRoutes& context);

/// Asks once more who a caller is and whether it still may; for streams that outlive their request. `also` has the last
/// word.
std::function<bool()> still_allowed(Authenticator& authenticator, const Call& call, AccessRule rule,
                                    std::function<bool(const Principal&)> also = {});

/// A HEAD request gets no stream.
net::Response head_of_stream(std::string content_type);

struct LogRecordPage {
  std::vector<LogRecordObject> items;
  std::optional<std::string> next_cursor;
  std::string replica_id;
  std::int64_t dropped = 0;  ///< records that this replica has forgotten since its start
};
BOOST_DESCRIBE_STRUCT(LogRecordPage, (), (items, next_cursor, replica_id, dropped))
constexpr std::string_view json_name(json::For<LogRecordPage> /*type*/) { return "LogRecordPage"; }

}  // namespace ee::cp
