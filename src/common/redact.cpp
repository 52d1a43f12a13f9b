#include "common/redact.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <optional>

namespace ee {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_word(char c) { return is_alnum(c) || c == '_' || c == '-'; }
constexpr bool is_base32(char c) { return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7'); }
/// What a bearer token may be made of (RFC 6750 b64token).
constexpr bool is_token(char c) { return is_word(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '='; }

template <class Predicate>
std::size_t span_of(std::string_view text, Predicate matches) {
  return static_cast<std::size_t>(std::ranges::find_if_not(text, matches) - text.begin());
}

bool starts_with_any_case(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::ranges::equal(text.substr(0, lower_case.size()), lower_case,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b; });
}

/// What a secret at the start of a text is replaced by, and how much of the text that covers (0: no secret there).
struct Found {
  std::size_t length = 0;
  std::string shown = {};
};

Found own_credential(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kKinds = {"live", "sess", "agent", "svc", "meas", "boot", "enroll"};
  for (const std::string_view kind : kKinds) {
    const std::size_t head = 3 + kind.size() + 1;  // ee_<kind>_
    if (text.size() <= head || text.substr(3, kind.size()) != kind || text[head - 1] != '_') continue;
    const std::string_view rest = text.substr(head);
    const std::size_t length = span_of(rest, is_word);
    if (length == 0) return {};
    // The look-up part of 16 characters is no secret, and helps to find the row; anything else goes as a whole.
    const std::size_t lookup = span_of(rest, is_base32);
    const bool has_lookup = lookup == 16 && length > 16 && rest[16] == '_';
    if (has_lookup && length == 17) return {};  // nothing but the look-up part
    return {head + length,
            std::string(text.substr(0, head)) + (has_lookup ? std::string(rest.substr(0, 17)) : "") + "***"};
  }
  return {};
}

/// A JWT has three parts, a JWE five; one that lost its end is as bad. `first` is the length of the first part.
Found jose_token(std::string_view text, std::size_t first) {
  if (first < 8) return {};
  std::size_t length = first;
  std::size_t parts = 1;
  while (parts < 5 && length < text.size() && text[length] == '.') {
    length += 1 + span_of(text.substr(length + 1), is_word);
    ++parts;
  }
  if (parts < 2) return {};
  return {length, "jwt_***"};
}

Found prefixed(std::string_view text, std::string_view prefix, std::size_t least) {
  if (!text.starts_with(prefix)) return {};
  const std::size_t length = span_of(text.substr(prefix.size()), is_word);
  if (length < least) return {};
  return {prefix.size() + length, std::string(prefix) + "***"};
}

Found stripe_client_secret(std::string_view text) {
  for (const std::string_view kind : {"pi_", "seti_"}) {
    if (!text.starts_with(kind)) continue;
    const std::size_t id = kind.size() + span_of(text.substr(kind.size()), is_alnum);
    if (id == kind.size()) continue;
    constexpr std::string_view kSecret = "_secret_";
    if (!text.substr(id).starts_with(kSecret)) continue;
    const std::size_t length = span_of(text.substr(id + kSecret.size()), is_word);
    if (length > 0) return {id + kSecret.size() + length, std::string(text.substr(0, id)) + "_secret_***"};
  }
  return {};
}

Found argon2_text(std::string_view text) {
  if (!text.starts_with("$argon2")) return {};
  std::size_t length = 0;
  for (;;) {
    length += span_of(text.substr(length),
                      [](char c) { return is_alnum(c) || c == '$' || c == '=' || c == '+' || c == '/'; });
    // A comma belongs to it between parameters only: `m=8,t=1,p=1`.
    if (length + 2 >= text.size() || text[length] != ',' || text[length + 2] != '=') break;
    ++length;
  }
  return {length, std::string(kRedacted)};
}

Found private_key(std::string_view text) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kDashes = "-----";
  if (!text.starts_with(kBegin)) return {};
  const std::string_view label = text.substr(kBegin.size(), 64);
  const std::size_t label_end = label.find(kDashes);
  if (label_end == std::string_view::npos || label.substr(0, label_end).find("PRIVATE KEY") == std::string_view::npos)
    return {};
  // Without its end the rest of the text is taken for the key.
  const std::size_t end = text.find("-----END ", kBegin.size() + label_end);
  if (end == std::string_view::npos) return {text.size(), "pem_***"};
  const std::size_t close = text.find(kDashes, end + 9);
  return {close == std::string_view::npos ? text.size() : close + kDashes.size(), "pem_***"};
}

Found bearer_value(std::string_view text) {
  for (const std::string_view scheme : {"bearer ", "basic "}) {
    if (!starts_with_any_case(text, scheme)) continue;
    const std::size_t length = span_of(text.substr(scheme.size()), is_token);
    if (length >= 16) return {scheme.size() + length, std::string(text.substr(0, scheme.size())) + "***"};
  }
  return {};
}

/// `://user:password@`: the text starts at the colon.
Found url_user(std::string_view text) {
  if (!text.starts_with("://")) return {};
  const std::string_view authority = text.substr(3);
  const std::size_t end = std::min(authority.find_first_of("/?# \t\r\n\"'<>"), authority.size());
  const std::size_t at = authority.substr(0, end).rfind('@');
  if (at == std::string_view::npos) return {};
  return {3 + at, "://***"};
}

Found first_of(std::initializer_list<Found> candidates) {
  for (const Found& candidate : candidates)
    if (candidate.length > 0) return candidate;
  return {};
}

/// Whether anything of `secret_at`, or a JOSE token, starts with these two: no, for nearly all places of a text.
constexpr bool may_start(char first, char second) {
  switch (first) {
    case 'e': return second == 'e' || second == 'y';
    case 's': return second == 'k' || second == 'e';
    case 'r': return second == 'k';
    case 'w': return second == 'h';
    case 'p': return second == 'i';
    case 'g': return second == 'h' || second == 'i';
    case 'y':
    case '$': return second == 'a';
    case '-': return second == '-';
    case ':': return second == '/';
    case 'B':
    case 'b': return second == 'a' || second == 'e' || second == 'A' || second == 'E';
    default: return false;
  }
}

/// The secret that starts with the text, if any; but JOSE tokens. `starts_word`: the character before is no letter or
/// digit, which the short prefixes need (`task_id`, `disk_low`).
Found secret_at(std::string_view text, bool starts_word) {
  switch (text.front()) {
    case 'e': return text.starts_with("ee_") ? own_credential(text) : Found{};
    case 's': return starts_word ? first_of({prefixed(text, "sk_", 1), stripe_client_secret(text)}) : Found{};
    case 'r': return starts_word ? prefixed(text, "rk_", 1) : Found{};
    case 'w': return prefixed(text, "whsec_", 1);
    case 'p': return starts_word ? stripe_client_secret(text) : Found{};
    case 'g':
      return first_of({prefixed(text, "gho_", 4), prefixed(text, "ghp_", 4), prefixed(text, "ghs_", 4),
                       prefixed(text, "ghu_", 4), prefixed(text, "ghr_", 4), prefixed(text, "github_pat_", 4)});
    case 'y': return prefixed(text, "ya29.", 1);
    case '$': return argon2_text(text);
    case '-': return private_key(text);
    case ':': return url_user(text);
    case 'B':
    case 'b': return starts_word ? bearer_value(text) : Found{};
    default: return {};
  }
}

/// Lower case with `_` between words: `X-Api-Key` and `apiKey` become `x_api_key` and `api_key`.
std::string words_of(std::string_view name) {
  std::string out;
  bool previous_lower = false;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && previous_lower) out += '_';
    out += upper ? static_cast<char>(c + 32) : is_alnum(c) ? c : '_';
    previous_lower = (c >= 'a' && c <= 'z') || is_digit(c);
  }
  return out;
}

bool starts_with_words(std::string_view text, std::string_view words) {
  return text.starts_with(words) && (text.size() == words.size() || text[words.size()] == '_');
}

/// Nothing when there is no secret in it.
std::optional<std::string> scrubbed(std::string_view text) {
  std::string out;
  std::size_t kept = 0;      // everything before it is in `out`
  std::size_t word_end = 0;  // of the run of word characters around `at`, once measured: a run is measured once only
  for (std::size_t at = 0; at + 1 < text.size();) {
    if (!may_start(text[at], text[at + 1])) {
      ++at;
      continue;
    }
    const std::string_view rest = text.substr(at);
    Found found;
    if (rest.starts_with("eyJ")) {
      if (at >= word_end) word_end = at + span_of(rest, is_word);
      found = jose_token(rest, word_end - at);
    } else {
      found = secret_at(rest, at == 0 || !is_alnum(text[at - 1]));
    }
    if (found.length == 0) {
      ++at;
      continue;
    }
    out.append(text, kept, at - kept);
    out += found.shown;
    at += found.length;
    kept = at;
  }
  if (kept == 0) return std::nullopt;
  out.append(text, kept);
  return out;
}

}  // namespace

std::string scrub(std::string_view text) {
  auto clean = scrubbed(text);
  return clean ? std::move(*clean) : std::string(text);
}

void scrub_in_place(std::string& text) {
  if (auto clean = scrubbed(text)) text = std::move(*clean);
}

bool is_secret_name(std::string_view name) {
  static constexpr std::array<std::string_view, 19> kSecretWords = {
      "authorization", "token",  "tokens", "secret",     "secrets",     "password",    "passwd",
      "api_key",       "apikey", "cookie", "cookies",    "private_key", "signing_key", "jwt",
      "jwts",          "nonce",  "nonces", "credential", "credentials"};
  static constexpr std::array<std::string_view, 13> kSaidAboutIt = {"_id",     "_ids",  "_sha256", "_count",   "_at",
                                                                    "_kind",   "_name", "_type",   "_seconds", "_bytes",
                                                                    "_lookup", "_ok",   "_status"};
  const std::string words = words_of(name);
  const auto is_secret_at = [&](std::size_t at) {
    const std::string_view rest = std::string_view(words).substr(at);
    return std::ranges::any_of(kSecretWords, [&](std::string_view secret) { return starts_with_words(rest, secret); });
  };
  bool found = is_secret_at(0);
  for (std::size_t at = words.find('_'); !found && at != std::string::npos; at = words.find('_', at + 1))
    found = is_secret_at(at + 1);
  return found && std::ranges::none_of(kSaidAboutIt, [&](std::string_view suffix) { return words.ends_with(suffix); });
}

void scrub(boost::json::value& value) {
  if (auto* text = value.if_string()) {
    const std::string clean = scrub(std::string_view(text->data(), text->size()));
    *text = boost::json::string_view(clean);
  } else if (auto* list = value.if_array()) {
    for (auto& item : *list) scrub(item);
  } else if (auto* object = value.if_object()) {
    boost::json::object clean;
    for (auto& item : *object) {
      const std::string_view key(item.key().data(), item.key().size());
      boost::json::value kept = std::move(item.value());
      const bool plain = kept.is_null() || kept.is_bool() || kept.is_number();
      if (is_secret_name(key) && !plain) {
        kept = boost::json::string_view(kRedacted);
      } else {
        scrub(kept);
      }
      clean[boost::json::string_view(scrub(key))] = std::move(kept);
    }
    value = std::move(clean);
  }
}

}  // namespace ee
