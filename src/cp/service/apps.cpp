#include "cp/service/apps.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <functional>

#include "common/url.h"
#include "cp/service/active_account.h"
#include "cp/store/account_store.h"

namespace ee::cp {
namespace {

using Fields = std::vector<FieldError>;

void check(Fields& fields, bool good, std::string field, std::string code, std::string detail) {
  if (!good) fields.push_back({.field = std::move(field), .code = std::move(code), .detail = std::move(detail)});
}

void check_list(Fields& fields, const std::string& name, const std::vector<std::string>& items,
                bool (*is_good)(std::string_view), const char* what) {
  check(fields, items.size() <= Apps::kMaxNames, name, "too_many", "at most 20");
  std::vector<std::string> sorted = items;
  std::ranges::sort(sorted);
  check(fields, std::ranges::adjacent_find(sorted) == sorted.end(), name, "duplicate", "one stands there twice");
  for (std::size_t i = 0; i < std::min(items.size(), Apps::kMaxNames); ++i)
    check(fields, is_good(items[i]), name + "[" + std::to_string(i) + "]", "bad_format", what);
}

std::string json_list(const std::vector<std::string>& items) { return json::write(items); }

std::vector<std::string> list_of(const std::string& text) {
  std::vector<std::string> out;
  const auto value = json::parse(text);
  if (!value || !value->is_array()) return out;
  for (const boost::json::value& item : value->get_array())
    if (item.is_string()) out.emplace_back(std::string(item.get_string()));
  return out;
}

/// The rules for every member that can be changed, on the row as it would be.
Fields problems_of(const AppRow& row, const std::vector<std::string>& maintainers,
                   const std::vector<std::string>& tags) {
  Fields fields;
  check(fields, row.description.size() <= Apps::kMaxDescription, "description", "too_long", "at most 2,000 bytes");
  check(fields, !row.source_repo || is_source_repo(*row.source_repo), "source_repo", "bad_format", "owner/repo");
  check_list(fields, "maintainers", maintainers, is_github_login, "a GitHub login");
  check_list(fields, "tags", tags, is_dns_label, "a DNS label");
  check(fields, row.visibility == "public" || row.visibility == "private", "visibility", "not_in_enum",
        "public or private");
  check(fields,
        !row.signature_mode || row.signature_mode == "strict" || row.signature_mode == "warn" ||
            row.signature_mode == "disabled",
        "signature_mode", "not_in_enum", "strict, warn or disabled");
  if (row.signer_identity_regexp)
    if (const auto problem = identity_regexp_problem(*row.signer_identity_regexp))
      check(fields, false, "signer_identity_regexp", "bad_format", *problem);
  if (row.signer_issuer) {
    const auto url = parse_url(*row.signer_issuer);
    check(fields, url && url->scheme == "https" && !url->has_user && !url->has_query && !url->has_fragment,
          "signer_issuer", "bad_format", "an https URL");
  }
  return fields;
}

AppObject object_of(const AppRow& row) {
  return {.id = row.id,
          .name = row.name,
          .owner_account_id = row.owner_account_id.str(),
          .description = row.description,
          .source_repo = row.source_repo,
          .maintainers = list_of(row.maintainers),
          .tags = list_of(row.tags),
          .visibility = row.visibility,
          .signature_mode = row.signature_mode,
          .signer_identity_regexp = row.signer_identity_regexp,
          .signer_issuer = row.signer_issuer,
          .created_at = row.created_at,
          .updated_at = row.updated_at,
          .archived_at = row.archived_at};
}

std::optional<std::string> lower(const std::optional<std::string>& text) {
  return text ? std::optional(normal_login(*text)) : std::nullopt;
}

}  // namespace

Result<AppObject> Apps::create(const CatalogueCall& call, const AppRequest& wanted) {
  const Principal& principal = call.principal;
  if (!principal.account_id) return fail(ErrorCode::account_type_not_allowed, "an app belongs to the account of a key");
  const UtcTime now = parts_.clock.now();
  auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  const std::vector<std::string> maintainers = wanted.maintainers.value_or(std::vector<std::string>());
  const std::vector<std::string> tags = wanted.tags.value_or(std::vector<std::string>());
  const AppRow row{.id = std::move(*id),
                   .name = wanted.name,
                   .owner_account_id = *principal.account_id,
                   .description = wanted.description.value_or(""),
                   .source_repo = lower(wanted.source_repo),
                   .maintainers = json_list(maintainers),
                   .tags = json_list(tags),
                   .visibility = wanted.visibility.value_or("public"),
                   .signature_mode = wanted.signature_mode,
                   .signer_identity_regexp = wanted.signer_identity_regexp,
                   .signer_issuer = wanted.signer_issuer,
                   .created_at = now,
                   .updated_at = now};
  Fields fields = problems_of(row, maintainers, tags);
  check(fields, is_dns_label(row.name), "name", "bad_format", "a DNS label");
  if (!fields.empty()) return fail(Error{.code = ErrorCode::invalid_request, .fields = std::move(fields)});
  if (principal.kind == PrincipalKind::oidc &&
      (!principal.oidc_claims || row.source_repo != normal_login(principal.oidc_claims->repository)))
    return fail(ErrorCode::repository_not_allowed, "source_repo must be the repository of the workflow");
  return parts_.database.write<AppObject>([&](db::Transaction& tx) -> Result<AppObject> {
    if (auto active = require_active(tx, principal.is_admin, row.owner_account_id); !active)
      return std::unexpected(std::move(active.error()));
    if (auto made = apps_.create(tx, row, tags); !made) return std::unexpected(std::move(made.error()));
    AuditEntry entry = catalogue_audit(call, "app_created", "app", row.id);
    entry.detail = R"({"name":)" + json::quote(row.name) + "}";
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return object_of(row);
  });
}

Result<Page<AppObject>> Apps::list(const Principal& principal, AppFilter filter, const PageRequest& page) {
  filter.viewers = app_accounts(principal);
  filter.all_private = principal.is_admin;
  return parts_.database.read<Page<AppObject>>([&](db::Transaction& tx) -> Result<Page<AppObject>> {
    const auto rows = apps_.list(tx, filter, page);
    if (!rows) return std::unexpected(rows.error());
    Page<AppObject> out{.items = {}, .next = rows->next};
    for (const AppRow& row : rows->items) out.items.push_back(object_of(row));
    return out;
  });
}

Result<AppObject> Apps::get(const Principal& principal, const std::string& name) {
  return parts_.database.read<AppObject>([&](db::Transaction& tx) -> Result<AppObject> {
    const auto row = visible_app(tx, principal, name);
    if (!row) return std::unexpected(row.error());
    const auto latest = versions_.latest_attested(tx, row->id);
    if (!latest) return std::unexpected(latest.error());
    AppObject out = object_of(*row);
    out.latest_attested.emplace();
    for (const LatestVersion& version : *latest) out.latest_attested->emplace(version.node_size, version.version);
    return out;
  });
}

Result<AppObject> Apps::update(const CatalogueCall& call, const std::string& name, const AppChanges& changes) {
  return parts_.database.write<AppObject>([&](db::Transaction& tx) -> Result<AppObject> {
    const UtcTime now = parts_.clock.now();
    auto row = managed_app(tx, call.principal, name);
    if (!row) return std::unexpected(std::move(row.error()));
    const auto take = [](const auto& from, auto& to) {
      if (from) to = *from;
    };
    take(changes.description, row->description);
    if (changes.source_repo) row->source_repo = lower(*changes.source_repo);
    take(changes.visibility, row->visibility);
    take(changes.signature_mode, row->signature_mode);
    take(changes.signer_identity_regexp, row->signer_identity_regexp);
    take(changes.signer_issuer, row->signer_issuer);
    const std::vector<std::string> maintainers = changes.maintainers.value_or(list_of(row->maintainers));
    const std::vector<std::string> tags = changes.tags.value_or(list_of(row->tags));
    row->maintainers = json_list(maintainers);
    row->tags = json_list(tags);
    row->updated_at = now;
    if (Fields fields = problems_of(*row, maintainers, tags); !fields.empty())
      return fail(Error{.code = ErrorCode::invalid_request, .fields = std::move(fields)});
    if (auto updated = apps_.update(tx, *row, tags); !updated) return std::unexpected(std::move(updated.error()));
    AuditEntry entry = catalogue_audit(call, "app_updated", "app", row->id);
    entry.detail = R"({"name":)" + json::quote(row->name) + "}";
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return object_of(*row);
  });
}

Result<AppObject> Apps::archive(const CatalogueCall& call, const std::string& name) {
  return parts_.database.write<AppObject>([&](db::Transaction& tx) -> Result<AppObject> {
    const UtcTime now = parts_.clock.now();
    auto row = visible_app(tx, call.principal, name);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!manages_app(call.principal, *row)) return fail(ErrorCode::app_not_found);
    if (auto active = require_active(tx, call.principal.is_admin, row->owner_account_id); !active)
      return std::unexpected(std::move(active.error()));
    if (row->archived_at) return object_of(*row);
    const auto used = apps_.in_use(tx, row->id);
    if (!used) return std::unexpected(used.error());
    if (*used) return fail(ErrorCode::app_in_use);
    row->archived_at = row->updated_at = now;
    if (auto updated = apps_.update(tx, *row, list_of(row->tags)); !updated)
      return std::unexpected(std::move(updated.error()));
    AuditEntry entry = catalogue_audit(call, "app_archived", "app", row->id);
    entry.detail = R"({"name":)" + json::quote(row->name) + "}";
    if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
      return std::unexpected(std::move(audited.error()));
    return object_of(*row);
  });
}

}  // namespace ee::cp
