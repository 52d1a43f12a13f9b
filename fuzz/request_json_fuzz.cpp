// Request bodies: the strict parser, the reader of described structs with all its rules, and what they promise about
// each other: what is accepted is written back to the same value, and no refusal repeats the input.
#include <array>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/problem.h"
#include "common/require.h"

namespace ee::fuzz {

enum class Phase { idle, running };
BOOST_DESCRIBE_ENUM(Phase, idle, running)

struct Part {
  std::int32_t count = 0;
  std::optional<Phase> phase;
};
BOOST_DESCRIBE_STRUCT(Part, (), (count, phase))
constexpr auto json_rules(json::For<Part>) { return std::array{json::field("count").between(0, 1000)}; }

struct Body {
  std::string name;
  std::optional<std::string> nonce;
  std::optional<std::string> quote;
  std::optional<std::string> url;
  std::optional<UtcTime> at;
  std::optional<UsdMicros> price;
  std::vector<Part> parts;
  std::map<std::string, std::string> labels;
  std::optional<std::optional<std::string>> note;
  boost::json::value extra;
};
BOOST_DESCRIBE_STRUCT(Body, (), (name, nonce, quote, url, at, price, parts, labels, note, extra))
constexpr auto json_rules(json::For<Body>) {
  return std::array{json::field("name").dns_label(),  json::field("nonce").hex(64),
                    json::field("quote").base64(256), json::field("url").url(),
                    json::field("parts").items(0, 8), json::field("labels").items(0, 8),
                    json::field("note").length(0, 64)};
}

/// The library prints fractions in digits that do not always read back as the same number: those are not compared.
bool has_fraction(const boost::json::value& value) {
  if (value.is_double()) return true;
  if (const auto* array = value.if_array()) {
    for (const auto& item : *array)
      if (has_fraction(item)) return true;
  }
  if (const auto* object = value.if_object()) {
    for (const auto& item : *object)
      if (has_fraction(item.value())) return true;
  }
  return false;
}

void run(std::string_view text) {
  const auto value = json::parse(text);
  if (!value) {
    require(value.error().code == ErrorCode::invalid_json && value.error().detail.size() < 200);
    return;
  }
  if (!has_fraction(*value)) {
    const auto again = json::parse(boost::json::serialize(*value), {.max_bytes = 8 * text.size() + 64});
    require(again.has_value() && *again == *value);
  }
  if (const auto canonical = json::canonical(*value)) {
    const auto again = json::parse(*canonical, {.max_bytes = canonical->size()});
    require(again.has_value() && *again == *value && json::canonical(*again) == canonical);
  }
  const auto body = json::read<Body>(text);
  if (!body) {
    require(body.error().code == ErrorCode::invalid_request && !body.error().fields.empty());
    require(json::parse(problem_json(body.error(), "fuzz")).has_value());
    return;
  }
  if (has_fraction(body->extra)) return;
  const std::string written = json::write(*body);
  const auto back = json::read<Body>(written, {.max_bytes = written.size()});
  require(back.has_value() && json::write(*back) == written);
}

}  // namespace ee::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ee::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
