#include <algorithm>
#include <array>

#include "common/compose/rules.h"
#include "common/compose/values.h"

namespace ee::compose {
namespace {

constexpr std::int64_t kNanoPerSecond = 1'000'000'000;
constexpr std::int64_t kNanoPerMilli = 1'000'000;
constexpr std::int64_t kMaxStopSeconds = 300;
constexpr std::int64_t kMaxHealthNs = 24LL * 3600 * kNanoPerSecond;
constexpr std::int64_t kMaxRetries = 1000;
constexpr std::size_t kMaxUserChars = 128;
constexpr std::size_t kMaxCapabilities = 64;

/// A command as a list, or as text that is split into words.
std::optional<std::vector<std::string>> words_of(const Value& value) {
  if (value.is_string()) return split_words(literal(view(value)));
  return text_list(value);
}

void read_words(Scope& scope, const std::string& path, const Value& value,
                std::optional<std::vector<std::string>>& to) {
  to = words_of(value);
  if (!to) scope.breaches.add(path, kOutOfRange, "It is a list of texts, or a text whose quotes are closed.");
}

void read_flag(Scope& scope, const std::string& path, const Value& value, std::optional<bool>& to) {
  if (!value.is_bool()) return scope.breaches.add(path, kOutOfRange, "It is true or false, without quotes.");
  to = value.get_bool();
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

/// `["CMD-SHELL", text]`, `["CMD", word, ...]` or `["NONE"]`; a text is for the shell.
std::optional<std::vector<std::string>> health_test(const Value& value) {
  if (value.is_string()) return std::vector<std::string>{"CMD-SHELL", literal(view(value))};
  auto words = text_list(value);
  if (!words || words->empty()) return std::nullopt;
  const std::string& kind = words->front();
  const bool good = (kind == "NONE" && words->size() == 1) || (kind == "CMD" && words->size() > 1) ||
                    (kind == "CMD-SHELL" && words->size() == 2);
  return good ? words : std::nullopt;
}

void read_health_time(Scope& scope, const std::string& path, const Value& value, std::int64_t least,
                      std::optional<std::int64_t>& to) {
  to = duration_ns(value);
  if (!to || *to < least || *to > kMaxHealthNs)
    scope.breaches.add(path, kOutOfRange, "It is a time such as 30s, from one millisecond to 24 hours.");
}

void read_health_key(Scope& scope, const std::string& path, std::string_view key, const Value& value, Healthcheck& to) {
  if (value.is_null()) return;
  if (key == "test") {
    const auto test = health_test(value);
    if (!test)
      return scope.breaches.add(path, kOutOfRange, "It is a text, or a list that begins with CMD, CMD-SHELL or NONE.");
    to.test = *test;
    to.disabled = to.disabled || test->front() == "NONE";
  } else if (key == "interval") {
    read_health_time(scope, path, value, kNanoPerMilli, to.interval_ns);
  } else if (key == "timeout") {
    read_health_time(scope, path, value, kNanoPerMilli, to.timeout_ns);
  } else if (key == "start_period") {
    read_health_time(scope, path, value, 0, to.start_period_ns);
  } else if (key == "retries") {
    to.retries = integer(value);
    if (!to.retries || *to.retries < 0 || *to.retries > kMaxRetries)
      scope.breaches.add(path, kOutOfRange, "It is an integer from 0 to 1000.");
  } else if (key == "disable") {
    std::optional<bool> disable;
    read_flag(scope, path, value, disable);
    to.disabled = to.disabled || disable.value_or(false);
  } else {
    scope.breaches.add(path, kNotAllowed, "This key is not allowed here.");
  }
}

}  // namespace

void read_command(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_words(scope, path, value, to.command);
}

void read_entrypoint(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_words(scope, path, value, to.entrypoint);
}

void read_working_dir(Scope& scope, const std::string& path, const Value& value, Service& to) {
  if (!value.is_string() || !view(value).starts_with('/') || value.get_string().size() > 4096)
    return scope.breaches.add(path, kOutOfRange, "It is an absolute path.");
  to.working_dir = literal(view(value));
}

void read_user(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const bool number = value.is_int64() && value.get_int64() >= 0;
  const auto text = number || value.is_string() ? scalar_text(value) : std::nullopt;
  if (!text || text->empty() || text->size() > kMaxUserChars || !is_printable(*text))
    return scope.breaches.add(path, kOutOfRange, "It is a user, or user:group, by name or number.");
  to.user = *text;
}

void read_stop_signal(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto text = value.is_string() || value.is_int64() ? scalar_text(value) : std::nullopt;
  const auto allowed = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-'; };
  const auto number = integer(value);
  const bool named = text && text->size() > 3 && text->size() <= 16 && text->starts_with("SIG");
  if (!text || !std::ranges::all_of(*text, allowed) || (!named && (!number || *number < 1 || *number > 64)))
    return scope.breaches.add(path, kOutOfRange, "It is a signal, such as SIGTERM or 15.");
  to.stop_signal = *text;
}

void read_stop_grace_period(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto time = duration_ns(value);
  if (!time || *time > kMaxStopSeconds * kNanoPerSecond)
    return scope.breaches.add(path, kOutOfRange, "It is a time such as 30s, at most 300 seconds.");
  to.stop_grace_seconds = (*time + kNanoPerSecond - 1) / kNanoPerSecond;
}

void read_read_only(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_flag(scope, path, value, to.read_only);
}

void read_init(Scope& scope, const std::string& path, const Value& value, Service& to) {
  read_flag(scope, path, value, to.init);
}

void read_cap_drop(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto names = text_list(value);
  if (!names || names->size() > kMaxCapabilities)
    return scope.breaches.add(path, kOutOfRange, "It is a list of at most 64 capabilities.");
  const auto allowed = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  for (std::size_t i = 0; i < names->size(); ++i) {
    const std::string& name = (*names)[i];
    if (name.empty() || name.size() > 40 || !std::ranges::all_of(name, allowed))
      scope.breaches.add(child(path, i), kOutOfRange, "It is the name of a capability.");
  }
  to.cap_drop = *names;
}

void read_platform(Scope& scope, const std::string& path, const Value& value, Service&) {
  if (!value.is_string() || view(value) != "linux/amd64")
    scope.breaches.add(path, kOutOfRange, "The only platform is linux/amd64.");
}

void read_restart(Scope& scope, const std::string& path, const Value& value, Service&) {
  if (scope.resolved) return scope.breaches.add(path, kNotAllowed, "A resolved document does not have it.");
  static constexpr std::array<std::string_view, 4> kPolicies = {"no", "always", "unless-stopped", "on-failure"};
  const std::string_view text = value.is_string() ? view(value) : std::string_view();
  const auto is_count = [](char c) { return c >= '0' && c <= '9'; };
  constexpr std::string_view kCounted = "on-failure:";
  const bool counted = text.starts_with(kCounted) && text.size() > kCounted.size() &&
                       std::ranges::all_of(text.substr(kCounted.size()), is_count);
  if (!counted && std::ranges::find(kPolicies, text) == kPolicies.end())
    scope.breaches.add(path, kOutOfRange, "It is \"no\", always, unless-stopped or on-failure.");
}

void read_healthcheck(Scope& scope, const std::string& path, const Value& value, Service& to) {
  const auto* keys = value.if_object();
  if (keys == nullptr) return scope.breaches.add(path, kOutOfRange, "It is a mapping.");
  Healthcheck health;
  for (const auto& [key, item] : *keys)
    read_health_key(scope, child(path, {key.data(), key.size()}), {key.data(), key.size()}, item, health);
  to.healthcheck = std::move(health);
}

}  // namespace ee::compose
