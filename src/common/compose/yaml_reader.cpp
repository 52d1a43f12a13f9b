#include <fmt/format.h>
#include <yaml.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <map>
#include <vector>

#include "common/compose/compose.h"
#include "common/compose/measure_form.h"
#include "common/compose/yaml_scalar.h"
#include "common/utf8.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxNodes = 10000;
constexpr std::size_t kMaxAliases = 100;
constexpr std::size_t kMaxDirectives = 16;
constexpr std::size_t kMaxExpandedText = 256UL * 1024;
constexpr std::string_view kCoreTag = "tag:yaml.org,2002:";

/// What is wrong, and where. Thrown inside this file only: the reader is recursive, and every step may fail.
struct Problem {
  yaml_mark_t mark;
  std::string text;
};

Error invalid(const Problem& problem) {
  const std::size_t line = problem.mark.line + 1;
  const std::size_t column = problem.mark.column + 1;
  return {.code = ErrorCode::compose_invalid,
          .detail = fmt::format("Line {}, column {}: {}.", line, column, problem.text),
          .members = {{"line", std::to_string(line)}, {"column", std::to_string(column)}}};
}

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }

  yaml_event_t* get() { return &event_; }
  yaml_event_type_t type() const { return event_.type; }
  const yaml_mark_t& mark() const { return event_.start_mark; }
  const yaml_event_t& operator*() const { return event_; }

 private:
  yaml_event_t event_ = {};
};

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

/// A value with what an alias to it costs.
struct Node {
  bj::value value;
  std::size_t nodes = 1;
  std::size_t text_bytes = 0;
  std::size_t height = 0;  ///< collections inside one another, itself included
};

class Reader {
 public:
  explicit Reader(std::string_view text) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    if (text.data() == nullptr) text = "";  // the library asserts that there is a pointer
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { yaml_parser_delete(&parser_); }

  /// The one document of the text.
  bj::value document() {
    expect(YAML_STREAM_START_EVENT);
    Event start;
    next(start);
    if (start.type() != YAML_DOCUMENT_START_EVENT) throw Problem{start.mark(), "the file is empty"};
    Event root;
    next(root);
    if (root.type() != YAML_MAPPING_START_EVENT) throw Problem{root.mark(), "the top of the file is not a mapping"};
    Node node = read(root, 0);
    expect(YAML_DOCUMENT_END_EVENT);
    Event end;
    next(end);
    if (end.type() != YAML_STREAM_END_EVENT) throw Problem{end.mark(), "the file holds more than one document"};
    return std::move(node.value);
  }

 private:
  void next(Event& event) {
    if (yaml_parser_parse(&parser_, event.get()) != 0) return;
    if (parser_.error == YAML_MEMORY_ERROR) throw std::bad_alloc();
    if (parser_.error == YAML_READER_ERROR) throw Problem{parser_.mark, "a character is not allowed in YAML"};
    throw Problem{parser_.problem_mark, parser_.problem == nullptr ? "it is not YAML" : parser_.problem};
  }

  void expect(yaml_event_type_t type) {
    Event event;
    next(event);
    if (event.type() != type) throw Problem{event.mark(), "it is not YAML"};
  }

  /// The node that `event` begins, `depth` collections below the top.
  Node read(const Event& event, std::size_t depth) {
    switch (event.type()) {
      case YAML_ALIAS_EVENT: return alias(event, depth);
      case YAML_SCALAR_EVENT: {
        count(event, 1, (*event).data.scalar.length);
        const auto slot = anchor(text_of((*event).data.scalar.anchor));
        return keep(slot, scalar(event));
      }
      case YAML_SEQUENCE_START_EVENT: {
        enter(event, depth, text_of((*event).data.sequence_start.tag), "seq");
        const auto slot = anchor(text_of((*event).data.sequence_start.anchor));
        return keep(slot, sequence(depth));
      }
      case YAML_MAPPING_START_EVENT: {
        enter(event, depth, text_of((*event).data.mapping_start.tag), "map");
        const auto slot = anchor(text_of((*event).data.mapping_start.anchor));
        return keep(slot, mapping(depth));
      }
      default: throw Problem{event.mark(), "it is not YAML"};
    }
  }

  void enter(const Event& event, std::size_t depth, std::string_view tag, std::string_view core) {
    count(event, 1, 0);
    if (depth + 1 > kMaxDepth) throw Problem{event.mark(), fmt::format("it is nested deeper than {}", kMaxDepth)};
    if (!tag.empty() && (!tag.starts_with(kCoreTag) || tag.substr(kCoreTag.size()) != core))
      throw Problem{event.mark(), "custom tags are not accepted"};
  }

  Node sequence(std::size_t depth) {
    Node out{.value = bj::array()};
    std::size_t tallest = 0;
    while (true) {
      Event event;
      next(event);
      if (event.type() == YAML_SEQUENCE_END_EVENT) break;
      Node item = read(event, depth + 1);
      add_cost(out, item, tallest);
      out.value.get_array().push_back(std::move(item.value));
    }
    out.height = tallest + 1;
    return out;
  }

  Node mapping(std::size_t depth) {
    Node out{.value = bj::object()};
    std::size_t tallest = 0;
    std::optional<bj::value> merged;
    while (true) {
      Event event;
      next(event);
      if (event.type() == YAML_MAPPING_END_EVENT) break;
      const bool is_merge = is_merge_key(event);
      Node key = read(event, depth + 1);
      if (!key.value.is_string()) throw Problem{event.mark(), "a key is not text"};
      Event value_event;
      next(value_event);
      Node value = read(value_event, depth + 1);
      add_cost(out, key, tallest);
      add_cost(out, value, tallest);
      if (is_merge) {
        if (merged) throw Problem{event.mark(), "a mapping has the same key twice"};
        check_merge(value.value, value_event);
        merged = std::move(value.value);
      } else if (!out.value.get_object().emplace(key.value.get_string(), std::move(value.value)).second) {
        throw Problem{event.mark(), "a mapping has the same key twice"};
      }
    }
    if (merged) merge(out.value.get_object(), *merged);
    out.height = tallest + 1;
    return out;
  }

  static bool is_merge_key(const Event& event) {
    if (event.type() != YAML_SCALAR_EVENT) return false;
    const auto& scalar = (*event).data.scalar;
    return scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.tag == nullptr && text_of(scalar.value) == "<<";
  }

  static void check_merge(const bj::value& value, const Event& event) {
    bool good = value.is_object();
    if (const auto* list = value.if_array())
      good = std::ranges::all_of(*list, [](const bj::value& item) { return item.is_object(); });
    if (!good) throw Problem{event.mark(), "a merge key needs a mapping, or a list of mappings"};
  }

  /// Adds what is not there yet: own members come before merged ones, earlier mappings before later.
  static void merge(bj::object& to, const bj::value& from) {
    if (const auto* list = from.if_array()) {
      for (const bj::value& item : *list) merge(to, item);
      return;
    }
    for (const auto& member : from.get_object()) to.emplace(member.key(), member.value());
  }

  static void add_cost(Node& to, const Node& part, std::size_t& tallest) {
    to.nodes += part.nodes;
    to.text_bytes += part.text_bytes;
    tallest = std::max(tallest, part.height);
  }

  Node scalar(const Event& event) {
    const auto& data = (*event).data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(data.value), data.length);
    if (text.find('\0') != text.npos) throw Problem{event.mark(), "a text holds the character NUL"};
    const auto as_text = [&] {
      return Node{.value = bj::string(bj::string_view(text.data(), text.size())), .text_bytes = text.size()};
    };
    const std::string_view tag = text_of(data.tag);
    if (tag.empty() && data.style != YAML_PLAIN_SCALAR_STYLE) return as_text();
    if (!tag.empty() && !tag.starts_with(kCoreTag)) throw Problem{event.mark(), "custom tags are not accepted"};
    if (tag == "tag:yaml.org,2002:str") return as_text();
    Scalar plain = resolve_plain(text);
    if (!tag.empty() && !matches(tag.substr(kCoreTag.size()), plain.kind))
      throw Problem{event.mark(), "a tag does not fit its value"};
    if (plain.problem != nullptr) throw Problem{event.mark(), plain.problem};
    return {.value = std::move(plain.value), .text_bytes = text.size()};
  }

  static bool matches(std::string_view tag, ScalarKind kind) {
    switch (kind) {
      case ScalarKind::null: return tag == "null";
      case ScalarKind::boolean: return tag == "bool";
      case ScalarKind::integer: return tag == "int";
      case ScalarKind::number: return tag == "float";
      case ScalarKind::text: return false;
    }
    return false;
  }

  Node alias(const Event& event, std::size_t depth) {
    if (++aliases_ > kMaxAliases) throw Problem{event.mark(), fmt::format("more than {} aliases", kMaxAliases)};
    const auto found = slot_of_.find(text_of((*event).data.alias.anchor));
    if (found == slot_of_.end()) throw Problem{event.mark(), "an alias has no anchor"};
    const std::optional<Node>& target = slots_[found->second];
    if (!target) throw Problem{event.mark(), "an alias lies inside what it stands for"};
    count(event, target->nodes, target->text_bytes);
    if (depth + target->height > kMaxDepth)
      throw Problem{event.mark(), fmt::format("it is nested deeper than {}", kMaxDepth)};
    return *target;
  }

  /// A slot for what the anchor will name, from here on; none for a node without one.
  std::optional<std::size_t> anchor(std::string_view name) {
    if (name.empty()) return std::nullopt;
    slots_.emplace_back();
    slot_of_.insert_or_assign(std::string(name), slots_.size() - 1);
    return slots_.size() - 1;
  }
  Node keep(std::optional<std::size_t> slot, Node node) {
    if (slot) slots_[*slot] = node;
    return node;
  }

  void count(const Event& event, std::size_t nodes, std::size_t text_bytes) {
    nodes_ += nodes;
    text_bytes_ += text_bytes;
    if (nodes_ > kMaxNodes) throw Problem{event.mark(), fmt::format("more than {} values", kMaxNodes)};
    if (text_bytes_ > kMaxExpandedText) throw Problem{event.mark(), "it expands to too much text"};
  }

  yaml_parser_t parser_ = {};
  std::map<std::string, std::size_t, std::less<>> slot_of_;
  std::vector<std::optional<Node>> slots_;
  std::size_t nodes_ = 0;
  std::size_t aliases_ = 0;
  std::size_t text_bytes_ = 0;
};

/// Directives are compared with each other, so many of them would be slow; a file has use for one.
std::size_t count_directives(std::string_view text) {
  std::size_t count = text.starts_with('%') ? 1 : 0;
  for (auto at = text.find("\n%"); at != text.npos; at = text.find("\n%", at + 2)) ++count;
  return count;
}

}  // namespace

Result<boost::json::value> read_compose(std::string_view text) {
  const yaml_mark_t start = {};
  if (text.size() > kMaxComposeBytes)
    return fail(invalid({start, fmt::format("the file is longer than {} bytes", kMaxComposeBytes)}));
  if (!is_utf8(text)) return fail(invalid({start, "the file is not UTF-8"}));
  if (count_directives(text) > kMaxDirectives)
    return fail(invalid({start, fmt::format("the file has more than {} directives", kMaxDirectives)}));
  try {
    return Reader(text).document();
  } catch (const Problem& problem) {
    return fail(invalid(problem));
  }
}

}  // namespace ee::compose
