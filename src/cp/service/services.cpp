#include "cp/service/services.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/id.h"
#include "common/json.h"
#include "cp/service/active_account.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kMinTtl = 60;
constexpr std::int64_t kMaxTtl = 63'072'000;
constexpr std::size_t kMaxLabel = 100;

/// Whose services a principal may see; nothing: everybody's.
std::optional<std::vector<AccountId>> accounts_of(const Principal& principal) {
  if (principal.is_admin) return std::nullopt;
  std::vector<AccountId> accounts;
  if (principal.account_id) accounts.push_back(*principal.account_id);
  for (const LinkedAccount& linked : principal.linked_accounts)
    if (accounts.size() < ServiceListStore::kMaxAccounts) accounts.push_back(linked.id);
  return accounts;
}

Error bad_field(std::string field, std::string code, std::string detail) {
  return {.code = ErrorCode::invalid_request,
          .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}};
}

/// `https://host[:port]` as browsers write origins: lower case, without a path. `http` for pages of a developer.
bool is_origin(std::string_view text) {
  std::string_view host = text;
  for (const std::string_view scheme : {"https://", "http://"})
    if (host.starts_with(scheme)) {
      host.remove_prefix(scheme.size());
      break;
    }
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("-._:[]").find(c) != std::string_view::npos;
  };
  return host.size() < text.size() && !host.empty() && std::ranges::all_of(host, fits);
}

bool is_field_name(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

Result<void> check_cors(const ServiceCors& cors) {
  constexpr std::array<std::string_view, 7> kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  for (const std::string& origin : cors.origins) {
    if (origin == "*" && (cors.credentials.value_or(false) || cors.origins.size() > 1))
      return fail(bad_field("settings.cors.origins", "bad_format", "* stands alone and without credentials"));
    if (origin != "*" && !is_origin(origin))
      return fail(bad_field("settings.cors.origins", "bad_format", "https://host or *"));
  }
  const std::vector<std::string> none;
  for (const std::string& method : cors.methods ? *cors.methods : none)
    if (std::ranges::find(kMethods, method) == kMethods.end())
      return fail(bad_field("settings.cors.methods", "not_in_enum", "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"));
  if (!std::ranges::all_of(cors.headers ? *cors.headers : none, is_field_name))
    return fail(bad_field("settings.cors.headers", "bad_format", "names of fields"));
  return {};
}

}  // namespace

Result<Page<ListedServiceRow>> Services::list(const Principal& principal, const PageRequest& page) {
  const auto accounts = accounts_of(principal);
  auto rows = parts_.database.read<std::vector<ListedServiceRow>>(
      [&](db::Transaction& tx) { return services_.list(tx, accounts, page); });
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const ListedServiceRow& row) { return PagePosition{.at = row.created_at, .id = row.id}; });
}

Result<ListedServiceRow> Services::own(db::Transaction& tx, const Principal& principal, std::string_view name) const {
  auto row = services_.find(tx, name);
  if (!row) return std::unexpected(std::move(row.error()));
  const auto accounts = accounts_of(principal);
  const bool visible = *row && (!accounts || std::ranges::find(*accounts, (*row)->account_id) != accounts->end());
  if (!visible) return fail(ErrorCode::service_not_found);
  return std::move(**row);
}

Result<ListedServiceRow> Services::changeable(db::Transaction& tx, const Principal& principal,
                                              std::string_view name) const {
  auto row = own(tx, principal, name);
  if (!row) return row;
  if (auto active = require_active(tx, principal.is_admin, row->account_id); !active)
    return std::unexpected(std::move(active.error()));
  return row;
}

Result<void> Services::audit(db::Transaction& tx, const Actor& actor, std::string action,
                             const ListedServiceRow& service, std::string detail) const {
  const auto some = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  const auto written = audit_.append(tx,
                                     {.actor = actor.name,
                                      .action = std::move(action),
                                      .object_type = "service",
                                      .object_id = service.id,
                                      .request_id = some(actor.request_id),
                                      .client_address = some(actor.client_address),
                                      .detail = std::move(detail)},
                                     parts_.clock.now(), parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<ListedServiceRow> Services::get(const Principal& principal, std::string_view name) {
  return parts_.database.read<ListedServiceRow>([&](db::Transaction& tx) { return own(tx, principal, name); });
}

Result<ListedServiceRow> Services::update(const Principal& principal, const Actor& actor, std::string_view name,
                                          const Changes& changes) {
  if (changes.settings && changes.settings->cors)
    if (auto fits = check_cors(*changes.settings->cors); !fits) return std::unexpected(std::move(fits.error()));
  auto updated = parts_.database.write<ListedServiceRow>([&](db::Transaction& tx) -> Result<ListedServiceRow> {
    auto row = changeable(tx, principal, name);
    if (!row) return row;
    const ServiceAccess access = changes.access.value_or(row->access);
    const std::string settings = changes.settings ? json::write(*changes.settings) : row->settings;
    if (auto done = services_.update(tx, row->id, access, settings, parts_.clock.now()); !done)
      return std::unexpected(done.error());
    if (auto done = routes_.raise_route_epoch(tx); !done) return std::unexpected(done.error());
    // Agents judge by their document whom they let in without us.
    if (access != row->access)
      if (auto done = deployments_.change_documents(tx, row->id, parts_.clock.now()); !done)
        return std::unexpected(done.error());
    const std::string detail = fmt::format(R"({{"name":{},"access":{}}})", json::quote(row->name), json::write(access));
    if (auto done = audit(tx, actor, "service_access_changed", *row, detail); !done)
      return std::unexpected(done.error());
    return own(tx, principal, name);
  });
  if (updated && parts_.routes_changed) parts_.routes_changed();
  return updated;
}

Result<void> Services::remove(const Principal& principal, const Actor& actor, std::string_view name) {
  std::vector<ServiceTokenRow> ended;
  const auto removed = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto row = changeable(tx, principal, name);
    if (!row) return std::unexpected(row.error());
    const auto in_use = services_.is_in_use(tx, row->id);
    if (!in_use) return std::unexpected(in_use.error());
    if (*in_use) return fail(ErrorCode::service_in_use);
    auto live = tokens_.live(tx, row->id, parts_.clock.now());
    if (!live) return std::unexpected(std::move(live.error()));
    ended = std::move(*live);
    if (auto done = services_.remove(tx, row->id, parts_.clock.now()); !done) return done;
    if (auto done = routes_.raise_route_epoch(tx); !done) return done;
    return audit(tx, actor, "service_removed", *row, fmt::format(R"({{"name":{}}})", json::quote(row->name)));
  });
  if (!removed) return removed;
  for (const ServiceTokenRow& token : ended)
    if (parts_.token_revoked) parts_.token_revoked(token.id);
  if (parts_.routes_changed) parts_.routes_changed();
  return {};
}

Result<std::vector<ServiceTokenRow>> Services::tokens(const Principal& principal, std::string_view name) {
  return parts_.database.read<std::vector<ServiceTokenRow>>(
      [&](db::Transaction& tx) -> Result<std::vector<ServiceTokenRow>> {
        const auto row = own(tx, principal, name);
        if (!row) return std::unexpected(row.error());
        return tokens_.live(tx, row->id, parts_.clock.now());
      });
}

Result<NewServiceToken> Services::add_token(const Principal& principal, const Actor& actor, std::string_view name,
                                            const std::string& label, std::optional<std::int64_t> ttl_seconds) {
  if (label.empty() || label.size() > kMaxLabel) return fail(bad_field("label", "bad_format", "1 to 100 bytes"));
  if (ttl_seconds && (*ttl_seconds < kMinTtl || *ttl_seconds > kMaxTtl))
    return fail(bad_field("ttl_seconds", *ttl_seconds < kMinTtl ? "below_min" : "above_max", "60 to 63072000"));
  const UtcTime now = parts_.clock.now();
  auto credential = new_credential(CredentialKind::svc, parts_.random);
  if (!credential) return std::unexpected(std::move(credential.error()));
  auto hash = hash_token(credential->text, parts_.random);
  if (!hash) return std::unexpected(std::move(hash.error()));
  auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  ServiceTokenRow row{.id = std::move(*id),
                      .label = label,
                      .lookup = credential->lookup,
                      .secret_hash = std::move(*hash),
                      .created_at = now};
  if (ttl_seconds) row.expires_at = now + Seconds(*ttl_seconds);
  const auto stored = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto service = changeable(tx, principal, name);
    if (!service) return std::unexpected(service.error());
    const auto live = tokens_.live(tx, service->id, now);
    if (!live) return std::unexpected(live.error());
    if (static_cast<std::int64_t>(live->size()) >= ServiceTokenStore::kMaxLive) return fail(ErrorCode::too_many_keys);
    row.service_id = service->id;
    if (auto done = tokens_.insert(tx, row); !done) return done;
    return audit(tx, actor, "service_token_created", *service,
                 fmt::format(R"({{"token_id":{},"label":{}}})", json::quote(row.id), json::quote(row.label)));
  });
  if (!stored) return std::unexpected(stored.error());
  return NewServiceToken{.row = std::move(row), .text = std::move(credential->text)};
}

Result<void> Services::revoke_token(const Principal& principal, const Actor& actor, std::string_view name,
                                    const std::string& token_id) {
  const auto revoked = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto service = changeable(tx, principal, name);
    if (!service) return std::unexpected(service.error());
    const auto done = tokens_.revoke(tx, service->id, token_id, parts_.clock.now());
    if (!done) return std::unexpected(done.error());
    if (!*done) return fail(ErrorCode::not_found);
    return audit(tx, actor, "service_token_revoked", *service,
                 fmt::format(R"({{"token_id":{}}})", json::quote(token_id)));
  });
  if (revoked && parts_.token_revoked) parts_.token_revoked(token_id);
  return revoked;
}

}  // namespace ee::cp
