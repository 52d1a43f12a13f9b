#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <filesystem>

#include "agent/config_values.h"
#include "common/image_ref.h"
#include "common/json.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxArguments = 32;
constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxVariables = 256;
constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxValue = 16UL * 1024;
/// What `ee-cp` reads. Anything else could change how the program is loaded.
constexpr std::array<std::string_view, 10> kPrefixes = {"EE_",     "CP_",  "CLOUDFLARE_", "STAGING_", "PRODUCTION_",
                                                        "STRIPE_", "GCP_", "GITHUB_",     "ITA_",     "ADMIN_"};

std::string_view view(const boost::json::string& text) { return {text.data(), text.size()}; }

/// One that a process can be given: no control characters, so no NUL.
bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

bool is_variable(std::string_view name) {
  return name.size() <= kMaxName &&
         std::ranges::all_of(name,
                             [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }) &&
         std::ranges::any_of(kPrefixes, [&](std::string_view prefix) {
           return name.size() > prefix.size() && name.starts_with(prefix);
         });
}

}  // namespace

std::optional<std::string> set_cp_command(AgentConfig& config, const boost::json::value& value) {
  constexpr const char* kForm = R"(must be a list of texts: an absolute path, options, "serve")";
  if (!value.is_array() || value.get_array().size() < 2 || value.get_array().size() > kMaxArguments) return kForm;
  std::vector<std::string> command;
  for (const auto& part : value.get_array()) {
    if (!part.is_string()) return kForm;
    const std::string_view text = view(part.get_string());
    if (text.empty() || text.size() > kMaxText || !is_plain(text)) return kForm;
    command.emplace_back(text);
  }
  if (!command.front().starts_with('/') || command.back() != "serve") return kForm;
  config.cp.command = std::move(command);
  return std::nullopt;
}

std::optional<std::string> set_cp_env(AgentConfig& config, const boost::json::value& value) {
  if (!value.is_object() || value.get_object().size() > kMaxVariables) return "must be an object of at most 256 texts";
  std::map<std::string, Secret> env;
  for (const auto& member : value.get_object()) {
    const std::string_view name(member.key().data(), member.key().size());
    // A name that is not on the list may hold a value by mistake: it is not repeated.
    if (!is_variable(name)) return "names a variable that the control plane has no use for";
    if (!member.value().is_string()) return fmt::format("{} must be a text", name);
    const std::string_view text = view(member.value().get_string());
    // A PEM key has several lines.
    if (text.size() > kMaxValue || text.find('\0') != std::string_view::npos)
      return fmt::format("{} is too long, or holds a zero byte", name);
    env.emplace(name, Secret(std::string(text)));
  }
  config.cp.env = std::move(env);
  return std::nullopt;
}

std::optional<std::string> set_cp_image(AgentConfig& config, const boost::json::value& value) {
  const auto image = value.is_string() ? parse_image_ref(view(value.get_string()))
                                       : Result<ImageRef>(fail(ErrorCode::invalid_request, ""));
  const auto pinned = image ? image->pinned() : std::nullopt;
  if (!pinned) return "must be <repository>@sha256:<hex>: a tag may mean another image tomorrow";
  config.cp.image = *pinned;
  return std::nullopt;
}

std::optional<std::string> set_cp_data_dir(AgentConfig& config, const boost::json::value& value) {
  if (!value.is_string()) return "must be a text";
  const std::string_view text = view(value.get_string());
  if (!text.starts_with('/') || text.size() > kMaxText || !is_plain(text)) return "must be an absolute path";
  std::string path = std::filesystem::path(text).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (path == "/") return "must be a folder of its own";
  config.cp.data_dir = std::move(path);
  return std::nullopt;
}

std::string show_cp_command(const AgentConfig& config) {
  std::vector<std::string> parts;
  for (const std::string& part : config.cp.command) parts.push_back(json::quote(part));
  return fmt::format("[{}]", fmt::join(parts, ","));
}

std::string show_cp_env(const AgentConfig& config) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : config.cp.env) parts.push_back(json::quote(name) + R"(:"***")");
  return fmt::format("{{{}}}", fmt::join(parts, ","));
}

std::string show_cp_image(const AgentConfig& config) {
  return config.cp.image ? json::quote(*config.cp.image) : "null";
}

std::string show_cp_data_dir(const AgentConfig& config) { return json::quote(config.cp.data_dir); }

}  // namespace ee::agent
