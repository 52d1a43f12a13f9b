#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "agent/runtime/engine_answers.h"
#include "agent/runtime/engine_runtime.h"
#include "common/json.h"
#include "common/url.h"

namespace ee::agent {
namespace {

constexpr int kRemoveTries = 10;
constexpr Milliseconds kRemovePause{500};

boost::json::object* object_at(boost::json::object& from, std::string_view name) {
  boost::json::value* const value = from.if_contains(name);
  return value && value->is_object() ? &value->as_object() : nullptr;
}

/// Podman has no driver `local`, and ignores a request for GPUs instead of refusing it.
bool adapt_for_podman(boost::json::object& body) {
  boost::json::object* const host = object_at(body, "HostConfig");
  if (!host) return true;
  if (const auto* const devices = host->if_contains("DeviceRequests");
      devices && devices->is_array() && !devices->as_array().empty())
    return false;
  if (boost::json::object* const log = object_at(*host, "LogConfig"); log && text_at(*log, "Type") == "local") {
    (*log)["Type"] = "k8s-file";
    if (boost::json::object* const config = object_at(*log, "Config")) config->erase("max-file");
  }
  return true;
}

/// A network that is missing is no missing image, which the caller would pull again.
RuntimeError as_refusal(RuntimeError error) {
  if (error.failure == RuntimeFailure::not_found) error.failure = RuntimeFailure::refused;
  return error;
}

}  // namespace

RuntimeResult<std::string> EngineRuntime::adapted_body(const ContainerSpec& spec) const {
  if (known().name != "podman") return spec.body;
  auto body = json::parse(spec.body);
  if (!body || !body->is_object()) return runtime_fail(RuntimeFailure::refused, "the body is not a JSON object");
  if (!adapt_for_podman(body->as_object()))
    return runtime_fail(RuntimeFailure::refused, "this container engine gives no GPUs to containers");
  return boost::json::serialize(*body);
}

RuntimeResult<std::string> EngineRuntime::create(const ContainerSpec& spec, const std::stop_token& stop) {
  const auto body = adapted_body(spec);
  if (!body) return body;
  // The engine takes a connection to a network that does not exist, and then fails to start the container.
  for (const FurtherNetwork& further : spec.further_networks)
    if (const auto network = inspect_network(further.network, stop); !network)
      return std::unexpected(as_refusal(network.error()));
  auto id = create_once(spec, *body, true, stop);
  if (!id) return id;
  for (const FurtherNetwork& further : spec.further_networks) {
    auto connected = connect(*id, further, stop);
    if (connected) continue;
    RuntimeError error = as_refusal(connected.error());
    if (error.failure != RuntimeFailure::cancelled && error.failure != RuntimeFailure::unavailable)
      (void)remove(*id, stop);
    return std::unexpected(std::move(error));
  }
  return id;
}

RuntimeResult<std::string> EngineRuntime::create_once(const ContainerSpec& spec, const std::string& body,
                                                      bool may_make_room, const std::stop_token& stop) {
  const auto answer =
      send({.method = "POST",
            .target = "/containers/create?name=" + percent_encode(spec.name) + "&platform=linux%2Famd64",
            .body = body,
            .total = options_.timeouts.change},
           stop);
  if (!answer) return std::unexpected(answer.error());
  if (may_make_room && (answer->status == 409 || answer->status == 500)) {  // podman says 500 for a name that is taken
    const auto old = inspect(spec.name, stop);
    if (!old && old.error().failure != RuntimeFailure::not_found) return std::unexpected(old.error());
    if (!old && answer->status == 500) return refusal(*answer);
    if (old && !is_ours(old->labels))
      return runtime_fail(RuntimeFailure::refused, "the name of the container is taken");
    if (old)
      if (auto removed = remove(old->id, stop); !removed) return std::unexpected(removed.error());
    return create_once(spec, body, false, stop);
  }
  if (answer->status != 201) return refusal(*answer);
  const auto made = engine_object(*answer);
  if (!made) return std::unexpected(made.error());
  std::string id = text_at(*made, "Id");
  if (id.empty() || id.size() > 256) return runtime_fail(RuntimeFailure::bad_answer, "the engine gave no id");
  return id;
}

RuntimeResult<void> EngineRuntime::connect(const std::string& id, const FurtherNetwork& further,
                                           const std::stop_token& stop) {
  boost::json::array aliases;
  for (const std::string& alias : further.aliases) aliases.emplace_back(alias);
  const boost::json::object body{{"Container", id}, {"EndpointConfig", {{"Aliases", aliases}}}};
  const auto answer = send({.method = "POST",
                            .target = "/networks/" + percent_encode(further.network) + "/connect",
                            .body = boost::json::serialize(body),
                            .total = options_.timeouts.change},
                           stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 200) return {};
  return refusal(*answer);
}

RuntimeResult<void> EngineRuntime::start(const std::string& id, const std::stop_token& stop) {
  const auto answer = send(
      {.method = "POST", .target = "/containers/" + percent_encode(id) + "/start", .total = options_.timeouts.start},
      stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 204 || answer->status == 304) return {};
  return refusal(*answer);
}

RuntimeResult<WaitResult> EngineRuntime::wait(const std::string& id, const std::stop_token& stop) {
  const auto answer = send({.method = "POST",
                            .target = "/containers/" + percent_encode(id) + "/wait?condition=not-running",
                            .total = std::nullopt},
                           stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return refusal(*answer);
  const auto ended = engine_object(*answer);
  if (!ended) return std::unexpected(ended.error());
  const auto code = number_at(*ended, "StatusCode");
  if (!code) return runtime_fail(RuntimeFailure::bad_answer, "the engine gave no exit code");
  WaitResult result{.exit_code = *code};
  if (const auto* const error = find_member(*ended, "Error")) result.error = error_text(text_at(*error, "Message"));
  return result;
}

RuntimeResult<void> EngineRuntime::stop(const std::string& id, Seconds grace, const std::stop_token& stop) {
  const auto answer = send({.method = "POST",
                            .target = fmt::format("/containers/{}/stop?t={}", percent_encode(id), grace.count()),
                            .total = Milliseconds(grace) + options_.timeouts.stop_extra},
                           stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 204 || answer->status == 304 || answer->status == 404) return {};
  return refusal(*answer);
}

RuntimeResult<void> EngineRuntime::remove(const std::string& id, const std::stop_token& stop) {
  for (int tries = 0;; ++tries) {
    const auto answer = send({.method = "DELETE",
                              .target = "/containers/" + percent_encode(id) + "?force=true&v=true",
                              .total = options_.timeouts.change},
                             stop);
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 204 || answer->status == 200 || answer->status == 404) {
      forget_log_mark(id);
      return {};
    }
    if (answer->status != 409 || tries == kRemoveTries) return refusal(*answer);
    // It is being removed already: asked again until it is gone.
    if (!client_.clock().sleep_for(kRemovePause, stop)) return runtime_fail(RuntimeFailure::cancelled);
  }
}

RuntimeResult<std::vector<ContainerSummary>> EngineRuntime::list(const std::stop_token& stop) {
  const auto list = get_list("/containers/json?all=true&" + instance_filter(), stop);
  if (!list) return std::unexpected(list.error());
  std::vector<ContainerSummary> ours;
  for (const auto& entry : list->as_array()) {
    auto summary = read_summary(entry);
    if (!summary) return std::unexpected(summary.error());
    if (is_ours(summary->labels)) ours.push_back(std::move(*summary));  // whatever the engine makes of the filter
  }
  return ours;
}

RuntimeResult<ContainerState> EngineRuntime::inspect(const std::string& id, const std::stop_token& stop) {
  const auto found = get_object("/containers/" + percent_encode(id) + "/json", stop);
  if (!found) return std::unexpected(found.error());
  return read_state(*found);
}

RuntimeResult<ContainerCounters> EngineRuntime::stats(const std::string& id, const std::stop_token& stop) {
  const auto found = get_object("/containers/" + percent_encode(id) + "/stats?stream=false&one-shot=true", stop);
  if (!found) return std::unexpected(found.error());
  return read_counters(*found);
}

}  // namespace ee::agent
