#include "cp/integration/registry/auth_challenge.h"

#include <algorithm>

namespace ee::cp::registry {
namespace {

constexpr std::string_view kTokenSigns = "!#$%&'*+-.^_`|~";

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kTokenSigns.find(c) != std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool at_end() const { return rest_.empty(); }
  void skip(std::string_view signs) { rest_.remove_prefix(std::min(rest_.find_first_not_of(signs), rest_.size())); }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string token() {
    const auto end = std::ranges::find_if_not(rest_, is_token_char);
    const auto size = static_cast<std::size_t>(end - rest_.begin());
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }
  /// After the opening quote.
  std::optional<std::string> quoted() {
    std::string out;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return out;
      if (c == '\\') {
        if (rest_.empty()) return std::nullopt;
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      const bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == '\x7f';
      if (control) return std::nullopt;
      out += c;
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

std::optional<std::string> read_value(Reader& reader) {
  reader.skip(" \t");
  if (reader.take('"')) return reader.quoted();
  std::string value = reader.token();
  return value.empty() ? std::nullopt : std::optional(std::move(value));
}

}  // namespace

std::optional<std::string> AuthChallenge::parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::vector<AuthChallenge>> parse_challenges(std::string_view value) {
  if (value.size() > kMaxChallengeBytes) return std::nullopt;
  std::vector<AuthChallenge> out;
  Reader reader(value);
  for (reader.skip(" \t,"); !reader.at_end(); reader.skip(" \t,")) {
    std::string name = lower(reader.token());
    if (name.empty()) return std::nullopt;
    reader.skip(" \t");
    if (!reader.take('=')) {
      out.push_back({.scheme = std::move(name)});
      continue;
    }
    auto text = read_value(reader);
    if (!text || out.empty() || !out.back().parameters.emplace(std::move(name), std::move(*text)).second)
      return std::nullopt;
  }
  return out;
}

}  // namespace ee::cp::registry
