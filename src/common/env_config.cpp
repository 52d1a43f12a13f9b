#include "common/env_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <numeric>
#include <system_error>

extern char** environ;

namespace ee {
namespace {

/// Number of single-character changes between two names, for guessing what a typo meant.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

Environment process_environment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

std::expected<std::string, std::string> read_env_file(const std::string& path) {
  // Not blocking: a FIFO in place of the file must not hang the start.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return std::unexpected(fmt::format("cannot read the file: {}", std::generic_category().message(errno)));
  struct stat about{};
  std::string content(kMaxEnvFile + 1, '\0');
  std::size_t size = 0;
  std::string problem;
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) problem = "not a regular file";
  while (problem.empty() && size < content.size()) {
    const ssize_t count = ::read(file, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) problem = fmt::format("cannot read the file: {}", std::generic_category().message(errno));
    if (count <= 0) break;
    size += static_cast<std::size_t>(count);
  }
  ::close(file);
  if (problem.empty() && size > kMaxEnvFile) problem = fmt::format("the file is longer than {} bytes", kMaxEnvFile);
  if (!problem.empty()) return std::unexpected(problem);
  content.resize(size);
  return content;
}

std::optional<std::vector<std::string>> split_list(std::string_view text) {
  std::vector<std::string> items;
  if (trimmed(text).empty()) return items;
  for (;;) {
    const std::size_t comma = text.find(',');
    const std::string_view item = trimmed(text.substr(0, comma));
    if (item.empty()) return std::nullopt;
    items.emplace_back(item);
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  return std::nullopt;
}

EnvReader::EnvReader(const Environment& environment, EnvFileReader read_file)
    : environment_(environment), read_file_(std::move(read_file)) {}

void EnvReader::problem(std::string_view name, std::string_view text) {
  problems_.push_back(fmt::format("{}: {}", name, text));
}

std::optional<std::string> EnvReader::find(std::string_view name) const {
  const auto found = environment_.find(name);
  if (found == environment_.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::optional<std::string> EnvReader::file_of(std::string_view name) const {
  if (find(name)) return std::nullopt;
  return find(std::string(name) + "_FILE");
}

std::optional<std::string> EnvReader::value_or_file(const std::string& name) {
  auto value = find(name);
  const auto path = find(name + "_FILE");
  if (!path) return value;
  if (value) {
    problem(name, fmt::format("is set together with {}_FILE", name));
    return std::nullopt;
  }
  auto content = read_file_(*path);
  if (!content) {
    problem(name + "_FILE", content.error());
    return std::nullopt;
  }
  if (content->size() > kMaxEnvFile) {
    problem(name + "_FILE", fmt::format("the file is longer than {} bytes", kMaxEnvFile));
    return std::nullopt;
  }
  if (content->ends_with('\n')) content->pop_back();
  if (content->empty()) return std::nullopt;
  return std::move(*content);
}

void EnvReader::know(std::string_view name, EnvSource source) {
  known_.emplace(name);
  if (source != EnvSource::plain) known_.insert(std::string(name) + "_FILE");
}

std::optional<std::string> EnvReader::text(std::string_view name, EnvSource source) {
  know(name, source);
  if (source == EnvSource::plain) return find(name);
  std::optional<std::string> preferred;
  if (source == EnvSource::provider && !provider_prefix_.empty())
    preferred = value_or_file(provider_prefix_ + std::string(name));
  auto ordinary = value_or_file(std::string(name));
  return preferred ? preferred : ordinary;
}

std::optional<Secret> EnvReader::secret(std::string_view name) {
  auto value = text(name, EnvSource::file_too);
  if (!value) return std::nullopt;
  return Secret(std::move(*value));
}

std::int64_t EnvReader::integer(std::string_view name, std::int64_t fallback, std::int64_t min, std::int64_t max) {
  const auto value = text(name);
  if (!value) return fallback;
  const auto number = parse_integer(*value);
  if (!number) {
    problem(name, "is not an integer");
  } else if (*number < min) {
    problem(name, fmt::format("{} is below the minimum {}", *number, min));
  } else if (*number > max) {
    problem(name, fmt::format("{} is above the maximum {}", *number, max));
  } else {
    return *number;
  }
  return fallback;
}

bool EnvReader::flag(std::string_view name, bool fallback) {
  const auto value = text(name);
  if (!value) return fallback;
  const auto parsed = parse_flag(*value);
  if (!parsed) problem(name, "must be 1, 0, true or false");
  return parsed.value_or(fallback);
}

std::vector<std::string> EnvReader::list(std::string_view name, EnvSource source) {
  const auto value = text(name, source);
  if (!value) return {};
  auto items = split_list(*value);
  if (!items) problem(name, "has an empty item between its commas");
  return items ? std::move(*items) : std::vector<std::string>{};
}

std::optional<std::string> EnvReader::one_of(std::string_view name, const std::vector<std::string_view>& names) {
  auto value = text(name);
  if (!value || std::ranges::find(names, *value) != names.end()) return value;
  problem(name, fmt::format("must be one of {}", fmt::join(names, ", ")));
  return std::nullopt;
}

void EnvReader::refuse_unknown(const std::vector<std::string_view>& foreign_prefixes) {
  for (const auto& [name, value] : environment_) {
    if (!name.starts_with("EE_") || value.empty() || known_.contains(name)) continue;
    if (std::ranges::any_of(foreign_prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); }))
      continue;
    const auto nearest =
        std::ranges::min_element(known_, {}, [&](const std::string& known) { return distance(known, name); });
    if (nearest != known_.end() && distance(*nearest, name) <= 2) {
      problem(name, fmt::format("is not a known variable; is {} meant?", *nearest));
    } else {
      problem(name, "is not a known variable");
    }
  }
}

}  // namespace ee
