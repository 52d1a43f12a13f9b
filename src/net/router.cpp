#include "net/router.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "common/require.h"
#include "net/chars.h"

namespace ee::net {
namespace {

constexpr std::size_t kMaxSegments = 32;  // deeper paths are unknown ones

unsigned hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  return static_cast<unsigned>((c | 0x20) - 'a') + 10;
}

/// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text) {
  std::size_t at = 0;
  const auto byte = [&](std::size_t offset) {
    return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0U;
  };
  const auto continues = [&](std::size_t offset) { return (byte(offset) & 0xc0U) == 0x80U; };
  while (at < text.size()) {
    const unsigned first = byte(0);
    if (first < 0x80) {
      at += 1;
    } else if (first >= 0xc2 && first <= 0xdf && continues(1)) {
      at += 2;
    } else if (first >= 0xe0 && first <= 0xef && continues(1) && continues(2) && (first != 0xe0 || byte(1) >= 0xa0) &&
               (first != 0xed || byte(1) < 0xa0)) {
      at += 3;
    } else if (first >= 0xf0 && first <= 0xf4 && continues(1) && continues(2) && continues(3) &&
               (first != 0xf0 || byte(1) >= 0x90) && (first != 0xf4 || byte(1) < 0x90)) {
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

bool decode_path_segment(std::string_view raw, std::string& out) {
  out.clear();
  out.reserve(raw.size());
  bool ascii = true;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      if (raw.size() - i < 3 || !is_a(kHexDigit, raw[i + 1]) || !is_a(kHexDigit, raw[i + 2])) return false;
      c = static_cast<char>(hex_value(raw[i + 1]) * 16 + hex_value(raw[i + 2]));
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '\\' || byte < 0x20 || byte == 0x7f) return false;
    ascii = ascii && byte < 0x80;
    out += c;
  }
  return out != "." && out != ".." && (ascii || is_utf8(out));
}

struct Router::Node {
  struct Leaf {
    std::size_t index = 0;
    std::vector<std::string> names;  ///< of the parameters on the way here
  };
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::map<std::string, Leaf, std::less<>> methods;  ///< of patterns that end here
  std::map<std::string, Leaf, std::less<>> rest;     ///< of patterns that go on with `{name...}`
};

/// One walk over the tree. Each node is visited at most once, so the tree's size bounds the work.
struct Router::Search {
  std::string_view method;
  std::string_view path;
  std::array<std::string_view, kMaxSegments> raw{};
  std::array<std::string, kMaxSegments> decoded{};
  std::array<bool, kMaxSegments> is_decoded{};
  std::size_t count = 0;
  bool bad = false;
  std::vector<std::string_view> values;
  std::vector<std::string_view> allowed;
  const Node::Leaf* found = nullptr;

  const Node::Leaf* pick(const std::map<std::string, Node::Leaf, std::less<>>& methods) {
    for (const std::string_view candidate :
         {method, std::string_view(method == "HEAD" ? "GET" : ""), std::string_view("*")})
      if (const auto it = methods.find(candidate); it != methods.end()) return &it->second;
    for (const auto& [name, leaf] : methods) allowed.push_back(name);
    return nullptr;
  }
  const std::string* segment(std::size_t depth) {
    if (!is_decoded[depth] && !decode_path_segment(raw[depth], decoded[depth])) bad = true;
    is_decoded[depth] = true;
    return bad ? nullptr : &decoded[depth];
  }
  bool walk(const Node& node, std::size_t depth) {
    if (depth == count) {
      found = pick(node.methods);
      return found != nullptr;
    }
    if (!node.literals.empty() || node.parameter) {
      const std::string* const text = segment(depth);
      if (!text) return false;
      if (const auto it = node.literals.find(*text); it != node.literals.end() && walk(*it->second, depth + 1))
        return true;
      if (node.parameter && !text->empty() && !bad) {
        values.push_back(*text);
        if (walk(*node.parameter, depth + 1)) return true;
        values.pop_back();
      }
    }
    if (bad || node.rest.empty()) return false;
    const std::string_view remaining = path.substr(static_cast<std::size_t>(raw[depth].data() - path.data()));
    if (remaining.empty()) return false;
    found = pick(node.rest);
    if (found) values.push_back(remaining);
    return found != nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;
Router::~Router() = default;
std::size_t Router::size() const { return size_; }

std::size_t Router::add(std::string_view pattern) {
  const std::size_t space = pattern.find(' ');
  require(space != std::string_view::npos && is_token(pattern.substr(0, space)));
  const std::string method(pattern.substr(0, space));
  std::string_view rest = pattern.substr(space + 1);
  require(rest.starts_with('/'));
  rest.remove_prefix(1);
  Node* node = root_.get();
  Node::Leaf leaf{.index = size_, .names = {}};
  auto* end = &node->methods;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    require(!segment.empty() && !(slash != std::string_view::npos && rest.empty()));
    if (segment.front() != '{') {
      require(segment.find_first_of("{}%") == std::string_view::npos);
      auto& next = node->literals[std::string(segment)];
      if (!next) next = std::make_unique<Node>();
      node = next.get();
      end = &node->methods;
      continue;
    }
    require(segment.size() > 2 && segment.back() == '}');
    std::string_view name = segment.substr(1, segment.size() - 2);
    const bool takes_rest = name.ends_with("...");
    if (takes_rest) name.remove_suffix(3);
    require(is_token(name) && std::ranges::find(leaf.names, name) == leaf.names.end());
    leaf.names.emplace_back(name);
    if (takes_rest) {
      require(rest.empty());
      end = &node->rest;
      break;
    }
    if (!node->parameter) node->parameter = std::make_unique<Node>();
    node = node->parameter.get();
    end = &node->methods;
  }
  require(end->emplace(method, std::move(leaf)).second);
  return size_++;
}

RouteMatch Router::match(std::string_view method, std::string_view path) const {
  if (path.empty() || path.front() != '/') return {};
  Search search{.method = method, .path = path, .values = {}, .allowed = {}};
  std::string_view rest = path.substr(1);
  for (bool more = !rest.empty(); more;) {
    if (search.count == kMaxSegments) return {};
    const std::size_t slash = rest.find('/');
    search.raw[search.count++] = rest.substr(0, slash);
    more = slash != std::string_view::npos;
    if (more) rest = rest.substr(slash + 1);
  }
  RouteMatch match;
  if (search.walk(*root_, 0)) {
    match = {.outcome = RouteOutcome::found, .index = search.found->index};
    for (std::size_t i = 0; i < search.values.size(); ++i)
      match.params.push_back({.name = search.found->names[i], .value = std::string(search.values[i])});
    return match;
  }
  // An unknown path with a bad segment further down is still a bad path: nothing of it may be trusted.
  std::string scratch;
  for (std::size_t i = 0; i < search.count && !search.bad; ++i)
    search.bad = !decode_path_segment(search.raw[i], scratch);
  if (search.bad) return {.outcome = RouteOutcome::bad_path};
  if (search.allowed.empty()) return {};
  if (std::ranges::find(search.allowed, "GET") != search.allowed.end()) search.allowed.emplace_back("HEAD");
  std::ranges::sort(search.allowed);
  const auto doubles = std::ranges::unique(search.allowed);
  search.allowed.erase(doubles.begin(), doubles.end());
  match.outcome = RouteOutcome::method_not_allowed;
  for (const std::string_view name : search.allowed) {
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += name;
  }
  return match;
}

}  // namespace ee::net
