#include "agent/bootstrap/cp_environment.h"

#include <algorithm>

#include "agent/config_values.h"

namespace ee::agent {
namespace {

constexpr std::string_view kFile = "_FILE";
constexpr std::size_t kShortestMasked = 8;

std::string url_of(const Endpoint& bind) {
  return "http://" + Endpoint{.host = bind.host == "0.0.0.0" ? "127.0.0.1" : bind.host, .port = bind.port}.str();
}

}  // namespace

std::expected<CpEnvironment, std::string> cp_environment(const AgentConfig& config) {
  CpEnvironment out;
  for (const auto& [name, value] : config.cp.env) {
    if (name.starts_with("EE_TLS_")) return std::unexpected("cp_env " + name + ": TLS ends at the tunnel in this mode");
    if (name.ends_with(kFile)) out.files.emplace_back(value.reveal());
    out.variables.emplace_back(name, value);
  }
  const auto or_default = [&](const std::string& name, const std::string& value) {
    const auto given = config.cp.env.find(name);
    if (given != config.cp.env.end()) return std::string(given->second.reveal());
    // The program refuses a variable that is given both ways.
    if (!config.cp.env.contains(name + std::string(kFile))) out.variables.emplace_back(name, Secret(value));
    return value;
  };
  or_default("EE_ENV", std::string(to_string(config.env)));
  or_default("EE_DATABASE_URL", "sqlite:" + config.cp.data_dir + "/easyenclave.db");
  or_default("EE_BACKUP_DIR", config.cp.data_dir + "/backups");
  const auto bind = parse_endpoint(or_default("EE_BIND", "127.0.0.1:8080"));
  if (!bind || bind->port == 0) return std::unexpected("cp_env EE_BIND must be <IPv4 address>:<port> or [::1]:<port>");
  if (bind->port == config.listen.port || bind->port == config.cloudflared_metrics().port)
    return std::unexpected("cp_env EE_BIND takes a port of the agent's own");
  out.url = url_of(*bind);
  return out;
}

std::string without_values(std::string_view line, const CpEnvironment& environment) {
  std::string out(line);
  for (const auto& [name, value] : environment.variables) {
    const std::string_view text = value.reveal();
    if (text.size() < kShortestMasked || name == "EE_PUBLIC_URL" || name.ends_with(kFile)) continue;
    for (std::size_t at = out.find(text); at != std::string::npos; at = out.find(text, at + 3))
      out.replace(at, text.size(), "***");
  }
  return out;
}

}  // namespace ee::agent
