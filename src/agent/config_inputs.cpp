#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "agent/config.h"
#include "agent/files.h"

namespace ee::agent {
namespace {

constexpr std::string_view kDefaultFile = "/etc/easyenclave/agent.json";
constexpr std::size_t kMaxFileBytes = 1024UL * 1024;

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    out.emplace_back(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
  }
  return out;
}

}  // namespace

std::expected<ConfigInputs, ConfigFailure> gather_inputs(const std::optional<std::string>& config_flag,
                                                         std::map<std::string, std::string> flags) {
  ConfigInputs inputs{.flags = std::move(flags), .environment = process_environment()};
  std::optional<std::string> path = config_flag;
  for (const auto& [name, value] : inputs.environment)
    if (!path && name == "EE_AGENT_CONFIG" && !value.empty()) path = value;
  const bool named = path.has_value();
  if (!path) path = std::string(kDefaultFile);

  const auto text = read_file(*path, kMaxFileBytes);
  if (text) {
    inputs.documents.push_back({.source = Source::file, .name = *path, .text = *text});
  } else if (named || text.error() != FileFailure::missing) {
    return std::unexpected(ConfigFailure{.problems = {fmt::format("{}: {}", *path, to_string(text.error()))}});
  }
  return inputs;
}

}  // namespace ee::agent
