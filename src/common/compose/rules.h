#pragma once
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/compose/compose.h"

/// Inside of the checker: what the files with the rules share.
namespace ee::compose {

/// Every breach of a file, by path.
class Breaches {
 public:
  /// Only the first of a path and code counts. A path whose text asks for interpolation reports nothing else: its value
  /// is not known.
  void add(std::string_view path, std::string_view code, std::string_view detail);
  void add_interpolation(std::string_view path);
  bool empty() const { return found_.empty(); }
  Error to_error() const;

 private:
  std::vector<FieldError> found_;
  std::set<std::pair<std::string, std::string>, std::less<>> known_;
  std::set<std::string, std::less<>> interpolated_;
  std::size_t left_out_ = 0;
};

/// What a rule may look at besides its own value.
struct Scope {
  const CheckOptions& options;
  bool resolved;  ///< a resolved document: forced values must be there, dropped ones must not
  Breaches& breaches;
  std::set<std::string, std::less<>> services = {};
  std::set<std::string, std::less<>> volumes = {};
  std::set<std::string, std::less<>> networks = {};      ///< `default` included
  std::map<std::uint16_t, std::string> host_ports = {};  ///< and the path that took it

  std::int64_t memory_bytes() const { return options.ceiling.memory_mib * 1024 * 1024; }
};

inline constexpr std::string_view kOutOfRange = "value_out_of_range";
inline constexpr std::string_view kNotAllowed = "key_not_allowed";

/// Paths: `compose.services.web`, `compose.services.web.ports[0]`. Keys are shown as they are, but shortened.
std::string child(std::string_view path, std::string_view key);
std::string child(std::string_view path, std::size_t index);

using Value = boost::json::value;

/// One rule: reads the value of a key into the service, or adds breaches.
using Rule = void (*)(Scope& scope, const std::string& path, const Value& value, Service& to);

// rules_process.cpp
void read_command(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_entrypoint(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_working_dir(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_user(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_stop_signal(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_stop_grace_period(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_read_only(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_init(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_cap_drop(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_platform(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_restart(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_healthcheck(Scope& scope, const std::string& path, const Value& value, Service& to);
// rules_names.cpp
void read_image(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_environment(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_labels(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_secrets(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_depends_on(Scope& scope, const std::string& path, const Value& value, Service& to);
// rules_limits.cpp
void read_ulimits(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_shm_size(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_pids_limit(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_mem_limit(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_cpus(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_deploy(Scope& scope, const std::string& path, const Value& value, Service& to);
// rules_storage.cpp
void read_volumes(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_tmpfs(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_top_volumes(Scope& scope, const std::string& path, const Value& value, Workload& to);
// rules_network.cpp
void read_ports(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_expose(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_networks(Scope& scope, const std::string& path, const Value& value, Service& to);
void read_top_networks(Scope& scope, const std::string& path, const Value& value, Workload& to);

// Forced values, which a resolved document must have: resolve.cpp writes them.
extern const std::string_view kForcedCapability;   ///< in `cap_drop`
extern const std::string_view kForcedHostAddress;  ///< of published ports
Value forced_security_opt();
Value forced_logging();

}  // namespace ee::compose
