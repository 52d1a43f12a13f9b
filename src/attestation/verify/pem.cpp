#include <algorithm>

#include "attestation/verify/certificate.h"

namespace ee::attestation {
namespace {

constexpr std::size_t kMaxLineCharacters = 76;  // RFC 7468 says 64; some writers use MIME's 76

bool is_line_end(char c) { return c == '\n' || c == '\r'; }

/// Cuts one PEM block off the front of `text` and decodes it. The armour lines must be there to the letter; between
/// them lie lines of base64 and nothing else.
std::optional<ByteVector> cut_block(std::string_view& text, std::string_view label) {
  const std::string begin = "-----BEGIN " + std::string(label) + "-----";
  const std::string end = "-----END " + std::string(label) + "-----";
  if (!text.starts_with(begin)) return std::nullopt;
  const std::size_t end_at = text.find(end, begin.size());
  if (end_at == std::string_view::npos) return std::nullopt;
  const std::string_view lines = text.substr(begin.size(), end_at - begin.size());
  if (lines.empty() || !is_line_end(lines.front()) || !is_line_end(lines.back())) return std::nullopt;

  std::string base64;
  base64.reserve(lines.size());
  std::size_t in_line = 0;
  for (const char c : lines) {
    if (is_line_end(c)) {
      in_line = 0;
    } else if (++in_line > kMaxLineCharacters) {
      return std::nullopt;
    } else {
      base64 += c;
    }
  }
  text.remove_prefix(end_at + end.size());
  return from_base64(base64);
}

/// White space between blocks and behind the last.
void skip_space(std::string_view& text, std::string_view space) {
  text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
}

constexpr std::string_view kSpace = " \t\r\n";
/// The kernel and the quoting library pad with NUL.
constexpr std::string_view kTrailing(" \t\r\n\0", 5);

}  // namespace

std::expected<std::vector<ByteVector>, CertificateFault> split_pem_certificates(std::string_view pem,
                                                                                std::size_t count) {
  std::vector<ByteVector> certificates;
  while (certificates.size() < count) {
    auto der = cut_block(pem, "CERTIFICATE");
    if (!der) return std::unexpected("the chain is not the expected number of PEM certificates");
    certificates.push_back(std::move(*der));
    skip_space(pem, certificates.size() < count ? kSpace : kTrailing);
  }
  if (!pem.empty()) return std::unexpected("something follows the last certificate");
  return certificates;
}

std::optional<ByteVector> decode_pem(std::string_view pem, std::string_view label) {
  auto der = cut_block(pem, label);
  if (!der) return std::nullopt;
  skip_space(pem, kTrailing);
  if (!pem.empty()) return std::nullopt;
  return der;
}

}  // namespace ee::attestation
