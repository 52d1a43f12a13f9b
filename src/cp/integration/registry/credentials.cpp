#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/jose.h"
#include "common/json.h"
#include "cp/integration/registry/registry_client.h"

namespace ee::cp::registry {
namespace {

constexpr std::size_t kMaxCredentialBytes = 16384;

bool read_accounts(const boost::json::value& value, Credential& to) {
  if (value.is_string()) return to.for_all = value.get_string() == "*";
  if (!value.is_array()) return false;
  for (const boost::json::value& one : value.get_array()) {
    if (!one.is_string() || !is_uuid(std::string_view(one.get_string()))) return false;
    to.accounts.emplace_back(std::string(one.get_string()));
  }
  return true;
}

std::optional<Credential> read_credential(const boost::json::value& value) {
  const boost::json::object* const entry = value.if_object();
  if (entry == nullptr) return std::nullopt;
  const auto username = jose::text_member(*entry, "username");
  const auto password = jose::text_member(*entry, "password");
  // A colon would end the name when the two are sent as one text.
  if (!username || !password || username->empty() || username->find(':') != std::string_view::npos) return std::nullopt;
  Credential out{.username = std::string(*username), .password = Secret(std::string(*password))};
  if (const boost::json::value* const accounts = entry->if_contains("accounts");
      accounts != nullptr && !read_accounts(*accounts, out))
    return std::nullopt;
  return out;
}

}  // namespace

bool Credential::serves(const AccountId& account) const {
  return for_all || std::ranges::find(accounts, account) != accounts.end();
}

const Credential* RegistryConfig::credential_for(std::string_view host, const AccountId& account) const {
  const auto found = credentials.find(std::string(host));
  return found != credentials.end() && found->second.serves(account) ? &found->second : nullptr;
}

std::optional<std::map<std::string, Credential>> parse_credentials(const Secret& text) {
  std::map<std::string, Credential> out;
  if (text.empty()) return out;
  const auto value = json::parse(text.reveal(), {.max_bytes = kMaxCredentialBytes});
  if (!value || !value->is_object()) return std::nullopt;
  for (const auto& member : value->get_object()) {
    auto credential = read_credential(member.value());
    if (!credential) return std::nullopt;
    out.emplace(std::string(member.key()), std::move(*credential));
  }
  return out;
}

}  // namespace ee::cp::registry
