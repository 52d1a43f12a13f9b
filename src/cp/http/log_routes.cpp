#include "cp/http/log_routes.h"

#include <charconv>

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/container_follow.h"
#include "cp/http/log_parameters.h"
#include "cp/http/log_source.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kMaxRecords = 1'000;
constexpr std::int64_t kDefaultRecords = 100;
constexpr std::size_t kFollowersPerDeployment = 4;
/// The ten seconds of the agents, sixteen of them at once, and what comes before and after.
constexpr Milliseconds kReadTimeout{60'000};
constexpr AccessRule kAdmin{.access = Access::admin};
constexpr AccessRule kOwner{.access = Access::admin_or_owner};

net::Response error_of(const Error& error, const Call& call) { return error_answer(error, call.request.request_id); }

Result<bool> follows(const Query& query, const net::Request& request) {
  const auto follow = query.flag("follow");
  if (!follow) return std::unexpected(follow.error());
  return follow->value_or(false) || wants_events(request);
}

// ---- control plane --------------------------------------------------------------------------------------------------

/// Cursors are of one replica and one direction.
std::string cursor_scope(const LogRoutes& context, bool ascending) {
  return "logs:" + context.replica + (ascending ? ":asc" : ":desc");
}

Result<std::optional<std::uint64_t>> position_of(const LogRoutes& context, const Query& query, bool ascending) {
  const auto cursor = query.text("cursor");
  if (!cursor) return std::optional<std::uint64_t>{};
  const auto place = context.cursors.decode(cursor_scope(context, ascending), *cursor);
  if (!place) return std::unexpected(place.error());
  std::uint64_t seq = 0;
  const auto [end, error] = std::from_chars(place->id.data(), place->id.data() + place->id.size(), seq);
  if (error != std::errc() || end != place->id.data() + place->id.size() || seq == 0)
    return fail(ErrorCode::invalid_cursor);
  return seq;
}

net::Response follow_control_plane(LogRoutes& context, const Call& call, LogFilter filter) {
  if (call.request.method == "HEAD") return head_of_stream("text/event-stream");
  auto opened = context.log_streams.open(
      {.source = std::make_unique<LogSource>(context.buffer, std::move(filter), context.replica,
                                             call.request.header("Last-Event-ID").value_or("")),
       .still_allowed = still_allowed(context.authenticator, call, kAdmin)});
  return opened ? std::move(*opened) : error_of(opened.error(), call);
}

net::Response get_control_plane(LogRoutes& context, const Call& call) {
  const auto query =
      Query::parse(call.request.query, {"min_level", "since", "until", "component", "request_id", "deployment_id",
                                        "agent_id", "q", "limit", "order", "cursor", "follow"});
  if (!query) return error_of(query.error(), call);
  auto filter = log_filter_of(*query, context.clock.now());
  if (!filter) return error_of(filter.error(), call);
  const auto limit = number_of(*query, "limit", kMaxRecords, kDefaultRecords);
  if (!limit) return error_of(limit.error(), call);
  const std::string order = query->text("order").value_or("desc");
  if (order != "asc" && order != "desc") return error_of(bad_query("order", "not_in_enum", "asc or desc"), call);
  const bool ascending = order == "asc";
  const auto after = position_of(context, *query, ascending);
  if (!after) return error_of(after.error(), call);
  const auto follow = follows(*query, call.request);
  if (!follow) return error_of(follow.error(), call);
  if (*follow) return follow_control_plane(context, call, std::move(*filter));

  const auto page = context.buffer.page(*filter, *after, static_cast<std::size_t>(*limit), ascending);
  LogRecordPage answer{.items = {},
                       .next_cursor = {},
                       .replica_id = context.replica,
                       .dropped = static_cast<std::int64_t>(context.buffer.dropped())};
  for (const LogEntryPtr& entry : page.items) answer.items.push_back(object_of(*entry));
  if (page.more)
    answer.next_cursor =
        context.cursors.encode(cursor_scope(context, ascending),
                               PagePosition{.at = page.items.back()->at, .id = std::to_string(page.items.back()->seq)});
  return json_answer(200, answer);
}

// ---- containers -----------------------------------------------------------------------------------------------------

/// For people: nothing in it that steers a terminal, whatever the agent sent.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f)
      out += '?';
    else
      out += c;
  }
  return out;
}

net::Response written_as(const ContainerLogPage& page, const std::string& format) {
  if (format == "json") return json_answer(200, page);
  net::Response response;
  if (format == "ndjson") {
    response.headers.push_back({"Content-Type", "application/x-ndjson"});
    for (const ContainerLogLine& line : page.items) response.body += json::write(line) + "\n";
    ContainerLogPage end{.items = {}, .truncated = page.truncated, .dropped = page.dropped, .errors = page.errors};
    std::string last = json::write(end);
    response.body += "{\"end\":true," + last.substr(last.find("\"truncated\"")) + "\n";
    return response;
  }
  response.headers.push_back({"Content-Type", "text/plain; charset=utf-8"});
  for (const ContainerLogLine& line : page.items) {
    if (line.at) response.body += *line.at + " ";
    response.body += printable(line.container) + ": " + printable(line.line) + (line.truncated ? " ...\n" : "\n");
  }
  for (const AgentLogFailure& failure : page.errors)
    response.body += "# agent " + failure.agent_id + ": " + failure.code + "\n";
  return response;
}

net::Response follow_containers(LogRoutes& context, const Call& call, const LogSelection& selection,
                                ContainerLogsWanted wanted, const LogTargets& targets) {
  if (targets.ended && !targets.ended->log_tail) return error_of(Error{.code = ErrorCode::logs_gone}, call);
  if (call.request.method == "HEAD") return head_of_stream("text/event-stream");
  // The id of an event is its line's time: whoever comes back goes on there.
  if (const auto last = parse_rfc3339(call.request.header("Last-Event-ID").value_or("")))
    wanted.since = to_rfc3339(*last);
  const auto find = [&context, principal = call.principal, selection, container = wanted.container] {
    return context.containers.find(principal, selection, container);
  };
  const auto allowed = [&context, selection, container = wanted.container](const Principal& principal) {
    const auto found = context.containers.find(principal, selection, container);
    // The database's moods end no stream.
    return found ||
           (found.error().code != ErrorCode::deployment_not_found &&
            found.error().code != ErrorCode::service_not_found && found.error().code != ErrorCode::agent_not_found &&
            found.error().code != ErrorCode::admin_required);
  };
  std::vector<std::string> groups = targets.deployments;
  if (selection.agent) groups.push_back(selection.agent->str());
  if (auto room = context.container_streams.check_room(groups, kFollowersPerDeployment); !room)
    return error_of(room.error(), call);
  auto source = std::make_unique<ContainerFollow>(ContainerFollow::Parts{.logs = context.containers,
                                                                         .client = context.agents,
                                                                         .streams = context.streams,
                                                                         .clock = context.clock,
                                                                         .wake = context.container_streams.waker()},
                                                  std::move(wanted), find);
  auto opened =
      context.container_streams.open({.source = std::move(source),
                                      .groups = std::move(groups),
                                      .most_in_group = kFollowersPerDeployment,
                                      .still_allowed = still_allowed(context.authenticator, call, kOwner, allowed)});
  return opened ? std::move(*opened) : error_of(opened.error(), call);
}

net::Response answer_containers(LogRoutes& context, const Call& call, const Query& query,
                                const LogSelection& selection) {
  const auto wanted = container_logs_of(query);
  if (!wanted) return error_of(wanted.error(), call);
  const std::string format = query.text("format").value_or("json");
  if (format != "json" && format != "ndjson" && format != "text")
    return error_of(bad_query("format", "not_in_enum", "json, ndjson or text"), call);
  const auto follow = follows(query, call.request);
  if (!follow) return error_of(follow.error(), call);
  const auto targets = context.containers.find(call.principal, selection, wanted->container);
  if (!targets) return error_of(targets.error(), call);
  if (*follow) return follow_containers(context, call, selection, *wanted, *targets);
  const auto page = context.containers.read(*targets, *wanted, call.request.stop);
  if (!page) return error_of(page.error(), call);
  return written_as(*page, format);
}

net::Response get_deployment_logs(LogRoutes& context, const Call& call) {
  const auto query =
      Query::parse(call.request.query, {"container", "since", "until", "tail", "stream", "q", "follow", "format"});
  if (!query) return error_of(query.error(), call);
  return answer_containers(context, call, *query,
                           {.deployment = DeploymentId(std::string(call.request.param("deployment_id")))});
}

Result<LogSelection> selection_of(const Query& query) {
  LogSelection selection;
  int given = 0;
  for (const char* name : {"deployment_id", "group_id", "agent_id"}) {
    auto id = uuid_text_of(query, name);
    if (!id) return std::unexpected(std::move(id.error()));
    if (id->empty()) continue;
    ++given;
    if (std::string_view(name) == "deployment_id") selection.deployment = DeploymentId(*id);
    if (std::string_view(name) == "group_id") selection.group_id = *id;
    if (std::string_view(name) == "agent_id") selection.agent = AgentId(*id);
  }
  if (auto service = query.text("service")) {
    ++given;
    if (service->empty() || service->size() > 63) return fail(bad_query("service", "bad_format", "a service's name"));
    selection.service = std::move(*service);
  }
  if (given != 1)
    return fail(bad_query("deployment_id", "required", "exactly one of deployment_id, service, group_id, agent_id"));
  return selection;
}

net::Response get_containers(LogRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"deployment_id", "service", "group_id", "agent_id", "container",
                                                       "since", "until", "tail", "stream", "q", "follow", "format"});
  if (!query) return error_of(query.error(), call);
  const auto selection = selection_of(*query);
  if (!selection) return error_of(selection.error(), call);
  if (selection->agent && !call.principal.is_admin) return error_of(Error{.code = ErrorCode::admin_required}, call);
  return answer_containers(context, call, *query, *selection);
}

}  // namespace

net::Response head_of_stream(std::string content_type) {
  return {.status = 200, .headers = {{"Content-Type", std::move(content_type)}, {"Cache-Control", "no-store"}}};
}

std::function<bool()> still_allowed(Authenticator& authenticator, const Call& call, AccessRule rule,
                                    std::function<bool(const Principal&)> also) {
  struct Kept {
    std::string authorization, cookie, client_address, request_id, actor;
  };
  const net::Request& request = call.request;
  const Kept kept{.authorization = std::string(request.header("Authorization").value_or("")),
                  .cookie = std::string(request.header("Cookie").value_or("")),
                  .client_address = request.client_address,
                  .request_id = request.request_id,
                  .actor = call.principal.actor()};
  return [&authenticator, kept, rule, also = std::move(also)] {
    const auto principal = authenticator.authenticate({.authorization = kept.authorization,
                                                       .authorization_count = kept.authorization.empty() ? 0U : 1U,
                                                       .cookie = kept.cookie,
                                                       .client_address = kept.client_address,
                                                       .request_id = kept.request_id});
    if (!principal) return principal.error().code == ErrorCode::auth_unavailable;
    return principal->actor() == kept.actor && check_access(rule, *principal, {}).has_value() &&
           (!also || also(*principal));
  };
}

void add_log_routes(std::vector<Route>& table, LogRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(LogRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  std::vector<QueryParameter> records = log_filter_parameters();
  records.push_back({"limit", R"({"type":"integer","minimum":1,"maximum":1000,"default":100})", "Records of a page."});
  records.push_back({"order", R"({"type":"string","enum":["asc","desc"],"default":"desc"})", "By age."});
  records.push_back({"cursor", R"({"type":"string"})", "`next_cursor` of the page before."});
  records.push_back({"follow", R"({"type":"boolean","default":false})",
                     "Events instead, as they come; so does `Accept: text/event-stream`."});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/logs/control-plane",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_control_plane),
                   .doc = {.summary = "What the answering replica logged.",
                           .tag = "logs",
                           .query = std::move(records),
                           .answers = {{200, "A page.", answer_schema<LogRecordPage>()}}},
                   .shed = net::Shed::first,
                   .also_answers = "text/event-stream"});
  std::vector<QueryParameter> which = container_log_parameters();
  const auto add = [&](std::string_view pattern, net::Response (*handler)(LogRoutes&, const Call&), std::string summary,
                       std::string tag, std::vector<QueryParameter> query) {
    table.push_back({.method = "GET",
                     .pattern = pattern,
                     .access = Access::admin_or_owner,
                     .rate = RateClass::agent_relay,
                     .handle = bound(handler),
                     .doc = {.summary = std::move(summary),
                             .tag = std::move(tag),
                             .query = std::move(query),
                             .answers = {{200, "The lines, the oldest first.", answer_schema<ContainerLogPage>()}}},
                     .any_accept = true,
                     .outside = true,
                     .shed = net::Shed::first,
                     .timeout = kReadTimeout});
  };
  add("/api/v1/deployments/{deployment_id}/logs", get_deployment_logs,
      "What a deployment writes; of one that has ended, the end of it.", "deployments", which);
  const std::string uuid = R"({"type":"string","format":"uuid"})";
  which.insert(which.begin(), {{"deployment_id", uuid, "Of this deployment. Exactly one of these four is given."},
                               {"service", R"({"type":"string"})", "Of all that runs behind this service."},
                               {"group_id", uuid, "Of all that one request deployed."},
                               {"agent_id", uuid, "Of what this agent runs; for administrators."}});
  add("/api/v1/logs/containers", get_containers, "What containers write, of one or several agents.", "logs",
      std::move(which));
}

}  // namespace ee::cp
