#include "common/jose.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/require.h"

namespace ee::jose {
namespace {

constexpr std::array<std::string_view, 4> kAlgorithms = {"PS384", "RS256", "ES256", "EdDSA"};
constexpr std::array<std::string_view, 6> kRefusals = {"malformed",   "header_refused", "algorithm_refused",
                                                       "key_unknown", "key_unusable",   "signature_invalid"};

/// A part of a token that must be a JSON object without duplicate members.
std::shared_ptr<const boost::json::object> object_of(Bytes json, std::size_t max_members) {
  auto value = json::parse(text_of(json), {.max_bytes = json.size(), .max_depth = 16, .max_nodes = 8192});
  if (!value || !value->is_object() || value->get_object().size() > max_members) return nullptr;
  return std::make_shared<const boost::json::object>(std::move(value->get_object()));
}

/// A header member that must be a text if it is there; `absent` else. Nothing when it is something else.
std::optional<std::string> optional_text(const boost::json::object& header, std::string_view name) {
  if (!header.contains(name)) return std::string();
  const auto text = text_member(header, name);
  if (!text) return std::nullopt;
  return std::string(*text);
}

}  // namespace

std::string_view to_string(Algorithm algorithm) { return kAlgorithms.at(static_cast<std::size_t>(algorithm)); }

std::optional<Algorithm> algorithm_of(std::string_view text) {
  const auto* const found = std::ranges::find(kAlgorithms, text);
  if (found == kAlgorithms.end()) return std::nullopt;
  return static_cast<Algorithm>(found - kAlgorithms.begin());
}

std::string_view to_string(Refusal refusal) { return kRefusals.at(static_cast<std::size_t>(refusal)); }

KeyType key_type_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::ps384:
    case Algorithm::rs256: return KeyType::rsa;
    case Algorithm::es256: return KeyType::p256;
    case Algorithm::eddsa: return KeyType::ed25519;
  }
  require_failed(std::source_location::current());
}

std::optional<std::int64_t> integer_member(const boost::json::object& object, std::string_view name) {
  const auto* const value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

std::optional<std::string_view> text_member(const boost::json::object& object, std::string_view name) {
  const auto* const value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string_view(value->get_string());
}

Checked<UnverifiedToken> UnverifiedToken::parse(std::string_view text, const TokenRules& rules) {
  require(!rules.algorithms.empty());
  const std::unexpected malformed(Refusal::malformed);
  if (text.size() > rules.max_bytes || std::ranges::count(text, '.') != 2) return malformed;
  const std::size_t first_dot = text.find('.');
  const std::size_t second_dot = text.rfind('.');
  const auto header_bytes = from_base64url(text.substr(0, first_dot));
  auto payload = from_base64url(text.substr(first_dot + 1, second_dot - first_dot - 1));
  auto signature = from_base64url(text.substr(second_dot + 1));
  if (!header_bytes || !payload || !signature) return malformed;

  UnverifiedToken token;
  token.token_.header_ = object_of(*header_bytes, rules.max_members);
  if (token.token_.header_ == nullptr) return malformed;
  if (rules.claims_are_json) {
    token.token_.claims_ = object_of(*payload, rules.max_members);
    if (token.token_.claims_ == nullptr) return malformed;
  }
  const boost::json::object& header = *token.token_.header_;
  auto kid = optional_text(header, "kid");
  const auto typ = optional_text(header, "typ");
  if (!kid || !typ) return malformed;
  if (header.contains("crit")) return std::unexpected(Refusal::header_refused);
  if (header.contains("typ") && std::ranges::find(rules.types, *typ) == rules.types.end())
    return std::unexpected(Refusal::header_refused);
  const auto algorithm = algorithm_of(text_member(header, "alg").value_or(""));
  if (!algorithm || std::ranges::find(rules.algorithms, *algorithm) == rules.algorithms.end())
    return std::unexpected(Refusal::algorithm_refused);

  token.algorithm_ = *algorithm;
  token.kid_ = std::move(*kid);
  token.signing_input_ = text.substr(0, second_dot);
  token.signature_ = std::move(*signature);
  token.token_.payload_ = std::move(*payload);
  return token;
}

Checked<VerifiedToken> UnverifiedToken::verify(const PublicKey& key) const {
  if (!key.fits(algorithm_)) return std::unexpected(Refusal::key_unusable);
  if (!key.verify(algorithm_, bytes_of(signing_input_), signature_)) return std::unexpected(Refusal::signature_invalid);
  return token_;
}

std::optional<std::string> sign_compact(const PrivateKey& key, Algorithm algorithm, std::string_view kid,
                                        std::string_view typ, std::string_view payload) {
  std::string header = R"({"alg":")" + std::string(to_string(algorithm)) + '"';
  if (!kid.empty()) header += R"(,"kid":)" + json::quote(kid);
  if (!typ.empty()) header += R"(,"typ":)" + json::quote(typ);
  header += '}';
  std::string token = to_base64url(bytes_of(header)) + '.' + to_base64url(bytes_of(payload));
  const auto signature = key.sign(algorithm, bytes_of(token));
  if (!signature) return std::nullopt;
  return token + '.' + to_base64url(*signature);
}

}  // namespace ee::jose
