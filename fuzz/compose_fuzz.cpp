// covers: S03_CMP_044
// Compose files, judged by the control plane's rules. What is accepted must resolve to a document that the agent's
// check accepts too, and a look at that document that knows nothing of the rules must find nothing of the host in it.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/compose/compose.h"
#include "common/compose/create_requests.h"
#include "common/compose/measure_form.h"
#include "common/json.h"

namespace {

namespace bj = boost::json;
namespace compose = ee::compose;

constexpr std::string_view kAllowedKeys[] = {
    "cap_drop",    "command", "cpus",       "depends_on", "deploy",  "entrypoint",   "environment", "expose",
    "healthcheck", "image",   "init",       "labels",     "logging", "mem_limit",    "networks",    "pids_limit",
    "platform",    "ports",   "privileged", "read_only",  "secrets", "security_opt", "shm_size",    "stop_grace_period",
    "stop_signal", "tmpfs",   "ulimits",    "user",       "volumes", "working_dir"};

void expect(bool condition) {
  if (!condition) std::abort();
}

std::string_view text_of(const bj::value& value) { return {value.get_string().data(), value.get_string().size()}; }

/// No text asks for interpolation. Pairs of dollars are skipped.
void expect_literal(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '$') continue;
    expect(text[i + 1] != '{');
    if (text[i + 1] == '$') ++i;
  }
}

void expect_literal_tree(const bj::value& value) {
  if (value.is_string()) expect_literal(text_of(value));
  if (const auto* list = value.if_array())
    for (const bj::value& item : *list) expect_literal_tree(item);
  if (const auto* map = value.if_object())
    for (const auto& member : *map) {
      expect_literal({member.key().data(), member.key().size()});
      expect_literal_tree(member.value());
    }
}

void expect_named_volume(const bj::value& volume) {
  if (volume.is_string()) {
    const std::string_view source = text_of(volume).substr(0, text_of(volume).find(':'));
    expect(!source.empty() && source.find_first_of("/\\.~") == source.npos);
    return;
  }
  const bj::object& keys = volume.get_object();
  expect(keys.at("type") == "volume" || keys.at("type") == "tmpfs");
  expect(!keys.contains("bind"));
  if (const auto* source = keys.if_contains("source")) expect(text_of(*source).find('/') == std::string_view::npos);
}

void expect_local_port(const bj::value& port) {
  if (port.is_string())
    expect(text_of(port).starts_with("127.0.0.1:"));
  else
    expect(port.get_object().at("host_ip") == "127.0.0.1");
}

void expect_harmless(const bj::object& service) {
  for (const auto& member : service)
    expect(std::ranges::find(kAllowedKeys, std::string_view(member.key().data(), member.key().size())) !=
           std::end(kAllowedKeys));
  if (const auto* privileged = service.if_contains("privileged")) expect(*privileged == false);
  expect(text_of(service.at("image")).find("@sha256:") != std::string_view::npos);
  expect(service.at("security_opt").get_array().size() == 1);
  if (const auto* volumes = service.if_contains("volumes"); volumes != nullptr && !volumes->is_null())
    for (const bj::value& volume : volumes->get_array()) expect_named_volume(volume);
  if (const auto* ports = service.if_contains("ports"); ports != nullptr && !ports->is_null())
    for (const bj::value& port : ports->get_array()) expect_local_port(port);
}

void expect_no_binds(const compose::Workload& workload) {
  const compose::Placement placement{.prefix = "ee", .secrets_dir = "/secrets", .vm_memory_mib = 4096};
  for (const auto& container : compose::create_requests(workload, placement).containers) {
    const bj::object& host = container.body.at("HostConfig").get_object();
    expect(host.at("Privileged") == false && !host.contains("Binds") && !host.contains("Devices"));
    for (const bj::value& mount : host.at("Mounts").get_array())
      if (mount.at("Type") == "bind") {
        expect(text_of(mount.at("Source")).starts_with("/secrets/"));
        expect(text_of(mount.at("Source")).find("..") == std::string_view::npos);
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  compose::CheckOptions options{.ceiling = {.vcpus = 4, .memory_mib = 4096, .gpu_count = 2}};
  (void)compose::check_resolved(text, options);
  options.require_digests = false;
  const auto checked = compose::check(text, options);
  if (!checked) {
    expect(checked.error().code == ee::ErrorCode::compose_invalid || !checked.error().fields.empty());
    return 0;
  }
  expect(compose::images_to_measure(checked->as_written).has_value());
  std::map<std::string, std::string> pinned;
  for (const auto& service : checked->services)
    pinned.emplace(service.name, service.image.pinned_to("sha256:" + std::string(64, '0')));
  const auto resolved = compose::resolve(*checked, pinned);
  expect(resolved.has_value() || resolved.error().code == ee::ErrorCode::compose_invalid);
  if (!resolved) return 0;
  const auto again = compose::check_resolved(resolved->compose, options);
  expect(again.has_value());
  const auto tree = ee::json::parse(resolved->compose).value();
  expect_literal_tree(tree);
  for (const auto& service : tree.get_object().at("services").get_object())
    expect_harmless(service.value().get_object());
  expect_no_binds(*again);
  return 0;
}
