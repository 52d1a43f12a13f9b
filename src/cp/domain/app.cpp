#include "cp/domain/app.h"

#include <algorithm>

namespace ee::cp {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_repo_part(std::string_view text) {
  return !text.empty() && text.size() <= 100 && text != "." && text != ".." &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace

std::optional<VersionStatus> next_status(VersionStatus from, VersionEvent event) {
  using enum VersionStatus;
  switch (event) {
    case VersionEvent::lease_taken: return from == pending ? std::optional(measuring) : std::nullopt;
    case VersionEvent::measured: return from == measuring ? std::optional(attested) : std::nullopt;
    case VersionEvent::failed_for_good:
    case VersionEvent::failed_too_often: return from == measuring ? std::optional(rejected) : std::nullopt;
    case VersionEvent::failed_for_now: return from == measuring ? std::optional(pending) : std::nullopt;
    case VersionEvent::yank: return from == attested ? std::optional(yanked) : std::nullopt;
    case VersionEvent::unyank: return from == yanked ? std::optional(attested) : std::nullopt;
    case VersionEvent::remeasure: return from == rejected ? std::optional(pending) : std::nullopt;
  }
  return std::nullopt;
}

Milliseconds measure_backoff(std::int64_t attempts, Random& random) {
  constexpr std::int64_t kFirstMs = 30'000;
  constexpr std::int64_t kMostMs = 3'600'000;
  const std::int64_t doublings = std::clamp<std::int64_t>(attempts - 1, 0, 10);
  const std::int64_t wait = std::min(kFirstMs << doublings, kMostMs);
  return Milliseconds(random.between(wait - wait / 5, wait + wait / 5));
}

bool is_app_version(std::string_view text) {
  if (text.empty() || text.size() > 64 || text == "latest" || !is_alphanumeric(text.front())) return false;
  return std::ranges::all_of(text,
                             [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '+' || c == '-'; });
}

bool is_source_repo(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_repo_part(text.substr(0, slash)) && is_repo_part(text.substr(slash + 1));
}

bool is_github_login(std::string_view text) {
  return !text.empty() && text.size() <= 39 && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

}  // namespace ee::cp
