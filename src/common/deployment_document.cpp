#include "common/deployment_document.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::agent_api {

std::string secrets_seal_context(std::string_view agent_id, std::string_view deployment_id, std::int64_t epoch,
                                 std::int64_t revision) {
  return fmt::format("easyenclave.seal.1:secrets:{}:{}:{}:{}", agent_id, deployment_id, epoch, revision);
}

std::string registry_seal_context(std::string_view agent_id, std::string_view deployment_id, std::int64_t epoch,
                                  std::int64_t revision) {
  return fmt::format("easyenclave.seal.1:registry:{}:{}:{}:{}", agent_id, deployment_id, epoch, revision);
}

bool is_path_prefix(std::string_view text) {
  return text.starts_with('/') && text.find("..") == std::string_view::npos && is_health_path(text);
}

/// Printable ASCII without blanks, quotes of a URL's other parts, or backslashes: it goes into a request line.
bool is_health_path(std::string_view text) {
  if (text.empty()) return true;
  return text.front() == '/' &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '#' && c != '\\'; });
}

bool is_sealed_name(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  if (text.empty() || text.size() > 64 || !letter(text.front())) return false;
  return std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; });
}

}  // namespace ee::agent_api
