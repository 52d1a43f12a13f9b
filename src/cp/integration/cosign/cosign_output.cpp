#include "cp/integration/cosign/cosign_output.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/jose.h"
#include "common/json.h"
#include "common/utf8.h"

namespace ee::cp::cosign {
namespace {

using boost::json::object;

constexpr std::size_t kMaxText = 2048;
constexpr std::size_t kMaxLine = 300;

const object* child(const object* from, std::string_view name) {
  const boost::json::value* const value = from == nullptr ? nullptr : from->if_contains(name);
  return value == nullptr ? nullptr : value->if_object();
}

std::optional<std::string> short_text(const object& from, std::string_view name) {
  const auto text = jose::text_member(from, name);
  if (!text || text->empty() || text->size() > kMaxText) return std::nullopt;
  return std::string(*text);
}

Signature signature_of(const object& element) {
  Signature out;
  const object* const optional = child(&element, "optional");
  if (optional == nullptr) return out;
  out.signed_by = short_text(*optional, "Subject");
  out.issuer = short_text(*optional, "Issuer");
  if (const object* const payload = child(child(optional, "Bundle"), "Payload"))
    out.log_index = jose::integer_member(*payload, "logIndex");
  return out;
}

}  // namespace

Result<std::vector<Signature>> read_output(std::string_view output, std::string_view digest) {
  const auto value = json::parse(output, {.max_bytes = Cosign::kMaxOutput});
  if (!value || !value->is_array())
    return fail(ErrorCode::signature_output_invalid, "the output of cosign is no JSON list");
  std::vector<Signature> out;
  for (const boost::json::value& item : value->get_array()) {
    const object* const element = item.if_object();
    const object* const image = child(child(element, "critical"), "image");
    if (image == nullptr || jose::text_member(*image, "docker-manifest-digest") != digest) continue;
    out.push_back(signature_of(*element));
  }
  if (out.empty()) return fail(ErrorCode::signature_output_invalid, "cosign names no signature of this digest");
  return out;
}

std::string last_line(std::string_view line) {
  std::string out;
  while (!line.empty()) {
    const std::size_t length = utf8_sequence(line);
    if (out.size() + length > kMaxLine) break;
    const bool printable = length > 1 || (length == 1 && line.front() >= ' ' && line.front() != '\x7f');
    if (printable) out += line.substr(0, length);
    line.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace ee::cp::cosign
