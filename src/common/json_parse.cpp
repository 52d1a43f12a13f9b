#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <vector>

#include "common/json.h"

namespace ee::json {
namespace {

namespace bj = boost::json;

/// The handler that basic_parser drives. It refuses what the library's own parser lets pass: duplicate keys (it keeps
/// the last) and numbers out of range (it makes 1e400 an infinity).
class Builder {
 public:
  static constexpr std::size_t max_object_size = bj::object::max_size();
  static constexpr std::size_t max_array_size = bj::array::max_size();
  static constexpr std::size_t max_key_size = bj::string::max_size();
  static constexpr std::size_t max_string_size = bj::string::max_size();

  explicit Builder(std::size_t max_nodes) : nodes_left_(max_nodes) {}

  const char* problem() const { return problem_; }
  bj::value take() { return std::move(root_); }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code& ec) { return open(bj::value(bj::object_kind), ec); }
  bool on_array_begin(bj::error_code& ec) { return open(bj::value(bj::array_kind), ec); }
  bool on_object_end(std::size_t, bj::error_code& ec) { return close(ec); }
  bool on_array_end(std::size_t, bj::error_code& ec) { return close(ec); }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_key(bj::string_view part, std::size_t, bj::error_code&) {
    append(part);
    open_.back().key = std::move(text_);
    text_.clear();
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) { return append(part); }
  bool on_string(bj::string_view part, std::size_t, bj::error_code& ec) {
    // A string without escapes comes in one piece: a long one is copied once.
    if (text_.empty()) return count(ec) && place(bj::value(part), ec);
    append(part);
    const bool kept = count(ec) && place(bj::value(bj::string_view(text_)), ec);
    text_.clear();
    return kept;
  }
  bool on_number_part(bj::string_view part, bj::error_code&) { return append(part); }
  bool on_int64(std::int64_t number, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return count(ec) && place(bj::value(number), ec);
  }
  bool on_uint64(std::uint64_t, bj::string_view, bj::error_code& ec) { return refuse("a number is out of range", ec); }
  bool on_double(double number, bj::string_view part, bj::error_code& ec) {
    // The library's own conversion may miss the nearest number by one unit.
    append(part);
    double nearest = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), nearest);
    if (error == std::errc() && end == text_.data() + text_.size()) number = nearest;
    text_.clear();
    // Integers too long for 64 bits arrive here as well. The comparison is false for infinities and NaN.
    constexpr double kLimit = 9223372036854775808.0;
    if (!(number > -kLimit && number < kLimit)) return refuse("a number is out of range", ec);
    return count(ec) && place(bj::value(number), ec);
  }
  bool on_bool(bool value, bj::error_code& ec) { return count(ec) && place(bj::value(value), ec); }
  bool on_null(bj::error_code& ec) { return count(ec) && place(bj::value(nullptr), ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  struct Open {
    bj::value container;
    std::string key;  // of the member being read, when the container is an object
  };

  bool refuse(const char* problem, bj::error_code& ec) {
    problem_ = problem;
    ec = bj::make_error_code(bj::error::syntax);
    return false;
  }
  bool append(bj::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool count(bj::error_code& ec) {
    if (nodes_left_ == 0) return refuse("it has too many values", ec);
    --nodes_left_;
    return true;
  }
  bool open(bj::value container, bj::error_code& ec) {
    if (!count(ec)) return false;
    open_.push_back({std::move(container), {}});
    return true;
  }
  bool close(bj::error_code& ec) {
    bj::value done = std::move(open_.back().container);
    open_.pop_back();
    return place(std::move(done), ec);
  }
  bool place(bj::value value, bj::error_code& ec) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Open& parent = open_.back();
    if (auto* list = parent.container.if_array()) {
      list->push_back(std::move(value));
      return true;
    }
    if (!parent.container.get_object().emplace(parent.key, std::move(value)).second)
      return refuse("an object has the same key twice", ec);
    return true;
  }

  std::size_t nodes_left_;
  const char* problem_ = nullptr;
  bj::value root_;
  std::vector<Open> open_;
  std::string text_;
};

std::string explain(const Builder& handler, const bj::error_code& ec) {
  if (handler.problem() != nullptr) return handler.problem();
  if (ec == bj::error::too_deep) return "it is nested too deeply";
  if (ec == bj::error::incomplete) return "it ends too early";
  if (ec == bj::error::exponent_overflow) return "a number is out of range";
  return "it is not JSON text in UTF-8";
}

}  // namespace

Result<boost::json::value> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.max_bytes)
    return fail(ErrorCode::invalid_json, fmt::format("The text is longer than {} bytes.", limits.max_bytes));
  bj::parse_options options;
  options.max_depth = limits.max_depth;
  bj::basic_parser<Builder> parser(options, limits.max_nodes);
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (ec)
    return fail(ErrorCode::invalid_json,
                fmt::format("The text cannot be read at byte {}: {}.", used, explain(parser.handler(), ec)));
  if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
    return fail(ErrorCode::invalid_json, fmt::format("More text follows the JSON value at byte {}.", used));
  return parser.handler().take();
}

}  // namespace ee::json
