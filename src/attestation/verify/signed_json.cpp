#include "attestation/verify/signed_json.h"

#include <algorithm>

namespace ee::attestation {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::string_view kSignature = "signature";

/// Walks the outer object. Every method returns nothing (or false) when what it wants is not there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kWhiteSpace), rest_.size())); }
  bool at_end() const { return rest_.empty(); }

  /// One character, with white space before it.
  bool take(char wanted) {
    skip_space();
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// A string without escapes and control characters; its contents.
  std::optional<std::string_view> take_plain_string() {
    if (!take('"')) return std::nullopt;
    const auto end = std::ranges::find_if(
        rest_, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
    if (end == rest_.end() || *end != '"') return std::nullopt;
    const auto size = static_cast<std::size_t>(end - rest_.begin());
    const std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size + 1);
    return text;
  }

  /// From an opening brace to the brace that closes it.
  std::optional<std::string_view> take_object() {
    skip_space();
    if (rest_.empty() || rest_.front() != '{') return std::nullopt;
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t at = 0; at < rest_.size(); ++at) {
      const char c = rest_[at];
      if (in_string) {
        if (c == '\\') ++at;
        if (c == '"') in_string = false;
      } else if (c == '"') {
        in_string = true;
      } else if (c == '{') {
        ++depth;
      } else if (c == '}' && --depth == 0) {
        const std::string_view object = rest_.substr(0, at + 1);
        rest_.remove_prefix(at + 1);
        return object;
      }
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

}  // namespace

std::optional<SignedJson> split_signed_json(std::string_view body, std::string_view member) {
  Scanner scanner(body);
  std::optional<std::string_view> document;
  std::optional<ByteArray<64>> signature;
  if (!scanner.take('{')) return std::nullopt;
  for (int i = 0; i < 2; ++i) {
    if (i > 0 && !scanner.take(',')) return std::nullopt;
    const auto key = scanner.take_plain_string();
    if (!key || !scanner.take(':')) return std::nullopt;
    if (*key == member && !document) {
      document = scanner.take_object();
      if (!document) return std::nullopt;
    } else if (*key == kSignature && !signature) {
      const auto hex = scanner.take_plain_string();
      if (hex) signature = from_hex_exact<64>(*hex);
      if (!signature) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (!scanner.take('}')) return std::nullopt;
  scanner.skip_space();
  if (!scanner.at_end()) return std::nullopt;
  return SignedJson{.document = *document, .signature = *signature};
}

std::string join_signed_json(std::string_view member, std::string_view document, std::string_view signature_hex) {
  std::string body = "{\"";
  body.append(member).append("\":").append(document);
  body.append(",\"").append(kSignature).append("\":\"").append(signature_hex).append("\"}");
  return body;
}

}  // namespace ee::attestation
