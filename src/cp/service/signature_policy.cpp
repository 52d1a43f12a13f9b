#include "cp/service/signature_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "cp/domain/agent.h"

namespace ee::cp {
namespace {

std::unexpected<Error> invalid(std::string detail) { return fail(ErrorCode::policy_invalid, std::move(detail)); }

Result<SignatureMode> mode_of(const std::string& text) {
  const auto mode = enum_of<SignatureMode>(text);
  if (!mode) return invalid("the signature mode is none of strict, warn, disabled");
  return *mode;
}

/// `text` as a part of an expression that means just it.
std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(R"(\.+*?()[]{}|^$)").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// Back references and `(?`, which Go has not or means otherwise.
bool is_beyond_go(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '(' && text[i + 1] == '?' && text.substr(i + 2, 1) != ":") return true;
    if (text[i] != '\\') continue;
    const char next = text[i + 1];
    if ((next >= '1' && next <= '9') || next == 'c' || next == 'u') return true;
    ++i;
  }
  return false;
}

std::optional<cosign::Identity> identity_of(const AppSigning& app) {
  if (app.identity_regexp) return cosign::Identity{.text = *app.identity_regexp, .is_regexp = true};
  if (!app.source_repo) return std::nullopt;
  return cosign::Identity{.text = fmt::format(R"((?i)^https://github\.com/{}/\.github/workflows/[^@]+@refs/.*$)",
                                              literal(*app.source_repo)),
                          .is_regexp = true};
}

}  // namespace

std::optional<std::string> identity_regexp_problem(const std::string& text) {
  if (text.size() > kMaxIdentityRegexp) return "at most 512 bytes";
  if (text.size() < 2 || !text.starts_with('^') || !text.ends_with('$')) return "must begin with ^ and end with $";
  if (is_beyond_go(text)) return "must do without look-around and back references";
  try {
    static_cast<void>(std::regex(text, std::regex::ECMAScript));
  } catch (const std::regex_error&) {
    return "must be a regular expression";
  }
  return std::nullopt;
}

Result<SignaturePolicy> merge_signature_policy(const SignatureSettings& common, const AppSigning& app) {
  auto mode = mode_of(common.mode);
  if (!mode) return std::unexpected(std::move(mode.error()));
  SignaturePolicy out{.mode = *mode};
  if (app.mode) {
    const auto wanted = mode_of(*app.mode);
    if (!wanted) return std::unexpected(wanted.error());
    out.mode = std::max(out.mode, *wanted);
  }
  if (app.identity_regexp)
    if (const auto problem = identity_regexp_problem(*app.identity_regexp))
      return invalid("the app's expression for signers " + *problem);
  out.rule.require_tlog = common.require_tlog;
  if (common.cosign_mode == "key") {
    if (common.public_key.empty() && out.mode != SignatureMode::disabled) return invalid("there is no public key");
    out.rule.mode = cosign::Mode::key;
    out.rule.public_key = common.public_key;
    return out;
  }
  if (common.cosign_mode != "keyless") return invalid("the mode of cosign is neither keyless nor key");
  out.rule.issuer = app.issuer.value_or(common.issuer);
  if (!common.identity.empty())
    out.rule.identities.push_back({.text = common.identity, .is_regexp = false});
  else if (!common.identity_regexp.empty())
    out.rule.identities.push_back({.text = common.identity_regexp, .is_regexp = true});
  if (auto own = identity_of(app)) out.rule.identities.push_back(std::move(*own));
  if (out.mode != SignatureMode::disabled && (out.rule.issuer.empty() || out.rule.identities.empty()))
    return invalid("nothing says whose signatures count");
  return out;
}

}  // namespace ee::cp
