#include <algorithm>
#include <boost/json/value.hpp>

#include "common/compose/rules.h"
#include "common/compose/values.h"

namespace ee::compose {
namespace {

constexpr std::size_t kMaxVolumes = 64;  ///< of a file, and mounts of a service
constexpr std::size_t kMaxTmpfs = 8;
constexpr std::int64_t kMaxTmpfsBytes = std::int64_t{8} << 30;
constexpr std::string_view kVolume = "volume";
constexpr std::string_view kHostMount = "host_mount";

std::string_view name_of(const boost::json::key_value_pair& member) {
  return {member.key().data(), member.key().size()};
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Whether text names something of the host: a path, a drive, a pipe or a socket.
bool names_host(std::string_view source) {
  if (source.find_first_of("/\\.~") != source.npos) return true;
  return source.size() >= 2 && is_letter(source[0]) && source[1] == ':';
}

/// The engine's own socket has no place in a container, whatever lies behind the path.
bool is_runtime_socket(std::string_view target) {
  for (const std::string_view name : {"docker.sock", "podman.sock", "containerd.sock", "crio.sock"})
    if (target.ends_with(name)) return true;
  return false;
}

bool target_taken(const Service& service, std::string_view target) {
  const auto same = [&](const auto& mount) { return mount.target == target; };
  return std::ranges::any_of(service.volumes, same) || std::ranges::any_of(service.tmpfs_mounts, same) ||
         std::ranges::any_of(service.tmpfs, same);
}

/// Whether the target may be used; says why not.
bool accept_target(Scope& scope, const std::string& path, std::string_view code, std::string_view target,
                   const Service& service) {
  if (is_runtime_socket(target)) {
    scope.breaches.add(path, kHostMount, "The engine's socket is not for containers.");
    return false;
  }
  if (!is_mount_target(target)) {
    scope.breaches.add(path, code, "The target is an absolute path in its simplest form, not one of the system's.");
    return false;
  }
  if (target_taken(service, target)) {
    scope.breaches.add(path, code, "Something else is mounted there.");
    return false;
  }
  return true;
}

void add_named(Scope& scope, const std::string& path, std::string_view source, std::string_view target, bool read_only,
               Service& to) {
  if (names_host(source)) return scope.breaches.add(path, kHostMount, "Nothing of the host can be mounted.");
  if (!scope.volumes.contains(source))
    return scope.breaches.add(path, kVolume, "The volume is not declared at the top of the file.");
  if (accept_target(scope, path, kVolume, target, to))
    to.volumes.push_back({std::string(source), std::string(target), read_only});
}

/// `source:target[:ro|rw]`
void read_short(Scope& scope, const std::string& path, std::string_view text, Service& to) {
  const auto colon = text.find(':');
  if (colon == 1 && is_letter(text[0]) && text.size() > 2 && (text[2] == '\\' || text[2] == '/'))
    return scope.breaches.add(path, kHostMount, "Nothing of the host can be mounted.");
  if (colon == text.npos)
    return scope.breaches.add(path, kVolume, "It is volume:target; a volume without a name is not allowed.");
  const std::string_view source = text.substr(0, colon);
  std::string_view target = text.substr(colon + 1);
  if (names_host(source)) return scope.breaches.add(path, kHostMount, "Nothing of the host can be mounted.");
  bool read_only = false;
  if (const auto second = target.find(':'); second != target.npos) {
    const std::string_view mode = target.substr(second + 1);
    if (mode != "ro" && mode != "rw") return scope.breaches.add(path, kVolume, "The mode is ro or rw.");
    read_only = mode == "ro";
    target = target.substr(0, second);
  }
  add_named(scope, path, source, target, read_only, to);
}

/// Size and mode of a tmpfs. The mode is octal in text, as in `tmpfs: /p:mode=1777`.
void read_tmpfs_options(Scope& scope, const std::string& path, const Value& value, Tmpfs& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kVolume, "It is a mapping.");
  for (const auto& member : *keys) {
    const std::string at = child(path, name_of(member));
    if (name_of(member) == "size") {
      to.size_bytes = byte_count(member.value());
      if (!to.size_bytes || *to.size_bytes < 1 || *to.size_bytes > std::min(kMaxTmpfsBytes, scope.memory_bytes()))
        scope.breaches.add(at, kOutOfRange, "It is a size such as 64m, at most 8g and the node's memory.");
    } else if (name_of(member) == "mode") {
      const bool text = member.value().is_string();
      to.mode = text ? file_mode(view(member.value())) : integer(member.value());
      if (!to.mode || *to.mode < 0 || *to.mode > 07777)
        scope.breaches.add(at, kOutOfRange, "It is permission bits, such as 0o1777.");
    } else {
      scope.breaches.add(at, kVolume, "This key is not allowed here.");
    }
  }
}

void read_long(Scope& scope, const std::string& path, const boost::json::object& keys, Service& to) {
  const auto text_at = [&](std::string_view key) -> std::optional<std::string_view> {
    const Value* value = keys.if_contains(key);
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return view(*value);
  };
  const auto type = text_at("type");
  const bool known = type == "volume" || type == "tmpfs";
  if (!known) {
    const bool host = type == "bind" || type == "npipe" || type == "cluster";
    scope.breaches.add(child(path, "type"), host ? kHostMount : kVolume, "The type is volume or tmpfs.");
  }
  bool read_only = false;
  Tmpfs tmpfs;
  for (const auto& member : keys) {
    const std::string_view key = name_of(member);
    const std::string at = child(path, key);
    if (key == "type" || key == "target" || (key == "source" && type != "tmpfs")) continue;
    if (key == "read_only" && member.value().is_bool() && type != "tmpfs")
      read_only = member.value().get_bool();
    else if (key == "tmpfs" && type == "tmpfs")
      read_tmpfs_options(scope, at, member.value(), tmpfs);
    else
      scope.breaches.add(at, key == "bind" ? kHostMount : kVolume, "This key or value is not allowed here.");
  }
  const auto source = text_at("source");
  if (source && names_host(*source))
    scope.breaches.add(child(path, "source"), kHostMount, "Nothing of the host can be mounted.");
  const auto target = text_at("target");
  if (!target) return scope.breaches.add(child(path, "target"), kVolume, "The target is missing.");
  if (type == "tmpfs" && accept_target(scope, child(path, "target"), kVolume, *target, to)) {
    tmpfs.target = *target;
    to.tmpfs_mounts.push_back(std::move(tmpfs));
  }
  if (type != "volume") return;
  if (!source) return scope.breaches.add(child(path, "source"), kVolume, "The name of the volume is missing.");
  if (!names_host(*source)) add_named(scope, path, *source, *target, read_only, to);
}

/// `/path[:size=64m,mode=1777]`
void read_tmpfs_text(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (!value.is_string()) return scope.breaches.add(path, kOutOfRange, "It is a path, with options after a colon.");
  const std::string_view text = view(value);
  const auto colon = text.find(':');
  Tmpfs tmpfs{.target = std::string(text.substr(0, colon))};
  std::string_view options = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  bool good = true;
  while (!options.empty()) {
    const auto comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    options = comma == options.npos ? std::string_view() : options.substr(comma + 1);
    if (option.starts_with("size=") && !tmpfs.size_bytes) {
      const std::string_view size = option.substr(5);
      tmpfs.size_bytes = byte_count(Value(boost::json::string_view(size.data(), size.size())));
      good = good && tmpfs.size_bytes && *tmpfs.size_bytes >= 1 &&
             *tmpfs.size_bytes <= std::min(kMaxTmpfsBytes, scope.memory_bytes());
    } else if (option.starts_with("mode=") && !tmpfs.mode) {
      tmpfs.mode = file_mode(option.substr(5));
      good = good && tmpfs.mode;
    } else {
      good = false;
    }
  }
  if (!good) return scope.breaches.add(path, kOutOfRange, "The options are size=, at most 8g, and mode=, in octal.");
  if (accept_target(scope, path, kOutOfRange, tmpfs.target, to)) to.tmpfs.push_back(std::move(tmpfs));
}

void read_top_volume(Scope& scope, const std::string& path, const Value& value) {
  if (value.is_null()) return;
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kVolume, "It is a mapping, or empty.");
  for (const auto& member : *keys) {
    const Value& item = member.value();
    const bool local = name_of(member) == "driver" && item.is_string() && view(item) == "local";
    const bool own = name_of(member) == "external" && item.is_bool() && !item.get_bool();
    if (!local && !own)
      scope.breaches.add(child(path, name_of(member)), kVolume, "Only driver: local is allowed here.");
  }
}

}  // namespace

void read_volumes(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* list = value.if_array();
  if (list == nullptr) return scope.breaches.add(path, kVolume, "It is a list.");
  if (list->size() > kMaxVolumes) return scope.breaches.add(path, kVolume, "At most 64 mounts are allowed.");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Value& item = (*list)[i];
    if (const auto* keys = item.if_object())
      read_long(scope, child(path, i), *keys, to);
    else if (item.is_string())
      read_short(scope, child(path, i), view(item), to);
    else
      scope.breaches.add(child(path, i), kVolume, "It is volume:target, or a mapping.");
  }
}

void read_tmpfs(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (value.is_string()) return read_tmpfs_text(scope, path, value, to);
  const auto* list = value.if_array();
  if (list == nullptr || list->size() > kMaxTmpfs)
    return scope.breaches.add(path, kOutOfRange, "It is a path, or a list of at most 8.");
  for (std::size_t i = 0; i < list->size(); ++i) read_tmpfs_text(scope, child(path, i), (*list)[i], to);
}

void read_top_volumes(Scope& scope, const std::string& path, const Value& value, Workload& to) {
  const auto* map = value.if_object();
  if (map == nullptr || map->size() > kMaxVolumes)
    return scope.breaches.add(path, kVolume, "It is a mapping of at most 64 volumes.");
  for (const auto& member : *map) {
    const std::string_view name = name_of(member);
    if (!is_resource_name(name)) {
      scope.breaches.add(child(path, name), names_host(name) ? kHostMount : kVolume,
                         "The name of a volume is letters, digits, - and _.");
      continue;
    }
    read_top_volume(scope, child(path, name), member.value());
    scope.volumes.emplace(name);
    to.volumes.emplace_back(name);
  }
}

}  // namespace ee::compose
