#include "agent/runtime/engine_runtime.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <array>
#include <boost/json/serialize.hpp>

#include "agent/runtime/engine_answers.h"
#include "common/bytes.h"
#include "common/json.h"
#include "common/log.h"
#include "common/url.h"

namespace ee::agent {
namespace {

constexpr std::int64_t kMinFreeBytes = 64LL * 1024 * 1024;

std::optional<std::int64_t> statvfs_free_bytes(const std::string& path) {
  struct statvfs info{};
  if (path.empty() || ::statvfs(path.c_str(), &info) != 0) return std::nullopt;
  return static_cast<std::int64_t>(info.f_bavail * info.f_frsize);
}

EngineOptions with_defaults(EngineOptions options) {
  if (!options.free_bytes) options.free_bytes = statvfs_free_bytes;
  return options;
}

boost::json::object labels_json(const Labels& labels) {
  boost::json::object object;
  for (const auto& [name, value] : labels) object[name] = value;
  return object;
}

/// base64url of the credentials as the engine wants them. Source: Docker Engine API, "Authentication".
Secret registry_auth(const RegistryCredentials& credentials) {
  std::string text = R"({"username":)";
  json::append_quoted(text, credentials.username);
  text += R"(,"password":)";
  json::append_quoted(text, credentials.password.reveal());
  text += R"(,"serveraddress":)";
  json::append_quoted(text, credentials.server);
  text += "}";
  Secret encoded(to_base64url(bytes_of(text)));
  wipe(text);
  return encoded;
}

}  // namespace

EngineRuntime::EngineRuntime(EngineOptions options, Clock& clock)
    : options_(with_defaults(std::move(options))), client_(options_.socket, clock, options_.timeouts) {}
EngineRuntime::~EngineRuntime() = default;

RuntimeInfo EngineRuntime::known() const {
  const std::lock_guard lock(mutex_);
  return info_;
}

bool EngineRuntime::is_ours(const Labels& labels) const {
  const auto found = labels.find(std::string(kInstanceLabel));
  return found != labels.end() && found->second == options_.instance;
}

std::string EngineRuntime::instance_filter() const {
  const boost::json::object filter{
      {"label", boost::json::array{std::string(kInstanceLabel) + "=" + options_.instance}}};
  return "filters=" + percent_encode(boost::json::serialize(filter));
}

bool EngineRuntime::disk_is_full() const {
  const auto free = options_.free_bytes(known().root_directory);
  return free && *free < kMinFreeBytes;
}

std::unexpected<RuntimeError> EngineRuntime::refusal(const EngineAnswer& answer) const {
  EngineAnswer clean = answer;
  if (options_.mask != nullptr) clean.body = options_.mask->mask(std::move(clean.body));  // before it is cut
  std::string message = engine_message(clean);
  log::warn("container_runtime", "the container engine refused", {{"status", answer.status}, {"detail", message}});
  if (answer.status == 404) return runtime_fail(RuntimeFailure::not_found, std::move(message));
  if (disk_is_full()) return runtime_fail(RuntimeFailure::disk_full, std::move(message));
  return runtime_fail(RuntimeFailure::refused, std::move(message));
}

RuntimeResult<EngineAnswer> EngineRuntime::send(const EngineCall& call, const std::stop_token& stop) const {
  return client_.call(call, stop);
}

RuntimeResult<boost::json::value> EngineRuntime::get_object(const std::string& target,
                                                            const std::stop_token& stop) const {
  const auto answer = send({.target = target, .total = options_.timeouts.query}, stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return refusal(*answer);
  return engine_object(*answer);
}

RuntimeResult<boost::json::value> EngineRuntime::get_list(const std::string& target,
                                                          const std::stop_token& stop) const {
  const auto answer =
      send({.target = target, .total = options_.timeouts.query, .max_bytes = kMaxEngineListBytes}, stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return refusal(*answer);
  return engine_array(*answer);
}

// ---- engine and images -------------------------------------------------------------------------------------------

RuntimeResult<RuntimeInfo> EngineRuntime::probe(const std::stop_token& stop) {
  // Without the version's prefix: an engine that does not speak 1.41 says so instead of refusing the path.
  const Milliseconds limit = options_.timeouts.query;
  const auto ping = send({.target = "/_ping", .total = limit, .versioned = false}, stop);
  if (!ping) return std::unexpected(ping.error());
  if (ping->status != 200) return runtime_fail(RuntimeFailure::refused, "what answers at the socket is no engine");
  const auto version = send({.target = "/version", .total = limit, .versioned = false}, stop);
  if (!version) return std::unexpected(version.error());
  if (version->status != 200) return refusal(*version);
  const auto version_json = engine_object(*version);
  if (!version_json) return std::unexpected(version_json.error());
  auto info = read_version(*version_json);
  if (!info) return info;
  const auto details = get_object("/info", stop);
  if (!details) return std::unexpected(details.error());
  read_info(*details, *info);
  const std::lock_guard lock(mutex_);
  info_ = *info;
  return info;
}

RuntimeResult<void> EngineRuntime::pull(const std::string& reference, const RegistryCredentials* credentials,
                                        const OnPullProgress& on_progress, const std::stop_token& stop) {
  const auto pinned = parse_pinned(reference);
  if (!pinned) return runtime_fail(RuntimeFailure::refused, "the image is not named by its digest");
  EngineCall call{.method = "POST",
                  .target = "/images/create?fromImage=" + percent_encode(pinned->repository) +
                            "&tag=" + percent_encode(pinned->digest),
                  .total = options_.timeouts.pull,
                  .silence = options_.timeouts.pull_silence};
  if (credentials) call.headers.push_back({"X-Registry-Auth", registry_auth(*credentials).reveal()});
  PullTracker tracker;
  PullProgress told;
  LineSplitter lines;
  bool readable = true;
  const auto tell = [&] {
    if (!on_progress || tracker.progress() == told) return;
    told = tracker.progress();
    on_progress(told);
  };
  const auto on_line = [&](std::string_view line) {
    readable = readable && tracker.take(line);
    tell();
  };
  const auto answer =
      client_.stream(call, {}, [&](std::string_view bytes) { return lines.feed(bytes, on_line) && readable; }, stop);
  for (HttpHeader& header : call.headers) wipe(header.value);
  if (!answer) {
    const auto failure = answer.error().failure;
    if (failure == RuntimeFailure::cancelled) return std::unexpected(answer.error());
    return runtime_fail(RuntimeFailure::pull_failed, answer.error().detail);
  }
  if (answer->status == 401 || answer->status == 403 || answer->status == 404)
    return runtime_fail(RuntimeFailure::pull_refused, engine_message(*answer));
  if (answer->status == 200 && readable && (lines.rest().empty() || tracker.take(lines.rest())) && !tracker.error()) {
    tracker.complete();
    tell();
    return {};
  }
  if (disk_is_full()) return runtime_fail(RuntimeFailure::disk_full, "no space is left for the image");
  if (answer->status != 200) return runtime_fail(RuntimeFailure::pull_failed, engine_message(*answer));
  if (tracker.error()) return std::unexpected(*tracker.error());
  return runtime_fail(RuntimeFailure::pull_failed, "the engine's report of the pull was not understood");
}

RuntimeResult<ImageInfo> EngineRuntime::image(const std::string& reference, const std::stop_token& stop) {
  const auto pinned = parse_pinned(reference);
  if (!pinned) return runtime_fail(RuntimeFailure::refused, "the image is not named by its digest");
  const auto found = get_object("/images/" + reference + "/json", stop);
  if (!found) return std::unexpected(found.error());
  return read_image(*found, *pinned);
}

RuntimeResult<std::int64_t> EngineRuntime::prune_images(const std::vector<std::string>& ids,
                                                        const std::stop_token& stop) {
  std::int64_t removed = 0;
  for (const std::string& id : ids) {
    const auto answer =
        send({.method = "DELETE", .target = "/images/" + percent_encode(id), .total = options_.timeouts.start}, stop);
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 200 || answer->status == 404) ++removed;
  }
  return removed;
}

// ---- networks and volumes ----------------------------------------------------------------------------------------

RuntimeResult<NetworkInfo> EngineRuntime::inspect_network(const std::string& id, const std::stop_token& stop) const {
  const auto found = get_object("/networks/" + percent_encode(id), stop);
  if (!found) return std::unexpected(found.error());
  return read_network(*found);
}

RuntimeResult<NetworkInfo> EngineRuntime::create_network(const NetworkSpec& spec, const std::stop_token& stop) {
  const boost::json::object body{{"Name", spec.name},
                                 {"Driver", "bridge"},
                                 {"CheckDuplicate", true},
                                 {"Internal", spec.internal},
                                 {"Labels", labels_json(spec.labels)}};
  for (const bool may_make_room : {true, false}) {
    const auto answer = send({.method = "POST",
                              .target = "/networks/create",
                              .body = boost::json::serialize(body),
                              .total = options_.timeouts.change},
                             stop);
    if (!answer) return std::unexpected(answer.error());
    const bool may_be_taken = answer->status == 409 || answer->status == 500;  // the latter: podman
    const auto old = may_be_taken && may_make_room
                         ? inspect_network(spec.name, stop)
                         : RuntimeResult<NetworkInfo>(runtime_fail(RuntimeFailure::not_found));
    if (old) {
      if (!is_ours(old->labels)) return runtime_fail(RuntimeFailure::refused, "the name of the network is taken");
      if (auto removed = remove_network(old->id, stop); !removed) return std::unexpected(removed.error());
      continue;
    }
    if (answer->status != 201) return refusal(*answer);
    const auto made = engine_object(*answer);
    if (!made) return std::unexpected(made.error());
    return inspect_network(text_at(*made, "Id"), stop);
  }
  return runtime_fail(RuntimeFailure::refused, "the name of the network is taken");
}

RuntimeResult<void> EngineRuntime::remove_network(const std::string& id, const std::stop_token& stop) {
  const auto answer =
      send({.method = "DELETE", .target = "/networks/" + percent_encode(id), .total = options_.timeouts.change}, stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 204 || answer->status == 200 || answer->status == 404) return {};
  return refusal(*answer);
}

RuntimeResult<std::vector<NetworkInfo>> EngineRuntime::list_networks(const std::stop_token& stop) {
  const auto list = get_list("/networks?" + instance_filter(), stop);
  if (!list) return std::unexpected(list.error());
  std::vector<NetworkInfo> ours;
  for (const auto& entry : list->as_array()) {
    auto network = read_network(entry);
    if (!network) return std::unexpected(network.error());
    if (is_ours(network->labels)) ours.push_back(std::move(*network));
  }
  return ours;
}

RuntimeResult<void> EngineRuntime::create_volume(const VolumeInfo& spec, const std::stop_token& stop) {
  const boost::json::object body{{"Name", spec.name}, {"Driver", "local"}, {"Labels", labels_json(spec.labels)}};
  const auto answer = send({.method = "POST",
                            .target = "/volumes/create",
                            .body = boost::json::serialize(body),
                            .total = options_.timeouts.change},
                           stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 201) return refusal(*answer);
  const auto made = engine_object(*answer);
  if (!made) return std::unexpected(made.error());
  const auto volume = read_volume(*made);
  if (!volume) return std::unexpected(volume.error());
  // The engine answers with an existing volume of that name as if it had made it.
  if (!is_ours(volume->labels)) return runtime_fail(RuntimeFailure::refused, "the name of the volume is taken");
  return {};
}

RuntimeResult<void> EngineRuntime::remove_volume(const std::string& name, const std::stop_token& stop) {
  const auto answer = send({.method = "DELETE",
                            .target = "/volumes/" + percent_encode(name) + "?force=true",
                            .total = options_.timeouts.change},
                           stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status == 204 || answer->status == 404) return {};
  return refusal(*answer);
}

RuntimeResult<std::vector<VolumeInfo>> EngineRuntime::list_volumes(const std::stop_token& stop) {
  const auto answer = send(
      {.target = "/volumes?" + instance_filter(), .total = options_.timeouts.query, .max_bytes = kMaxEngineListBytes},
      stop);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return refusal(*answer);
  const auto object = engine_object(*answer);
  if (!object) return std::unexpected(object.error());
  std::vector<VolumeInfo> ours;
  const auto* const volumes = find_member(*object, "Volumes");
  if (!volumes || !volumes->is_array()) return ours;
  for (const auto& entry : volumes->as_array()) {
    auto volume = read_volume(entry);
    if (!volume) return std::unexpected(volume.error());
    if (is_ours(volume->labels)) ours.push_back(std::move(*volume));
  }
  return ours;
}

}  // namespace ee::agent
