#include "cp/service/app_versions.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/compose/compose.h"
#include "common/crypto.h"
#include "common/node_size.h"
#include "cp/service/publish_rules.h"

namespace ee::cp {
namespace {

/// What is kept of a workflow's token: never the token itself.
std::optional<std::string> context_of(const Principal& principal) {
  if (principal.kind != PrincipalKind::oidc || !principal.oidc_claims) return std::nullopt;
  const OidcClaims& claims = *principal.oidc_claims;
  return R"({"repository":)" + json::quote(claims.repository) + R"(,"ref":)" + json::quote(claims.ref) +
         R"(,"run_id":)" + json::quote(claims.run_id) + R"(,"sha":)" + json::quote(claims.sha.value_or("")) + "}";
}

std::string version_detail(const AppRow& app, const AppVersionRow& row, const std::optional<std::string>& reason) {
  return R"({"app":)" + json::quote(app.name) + R"(,"version":)" + json::quote(row.version) + R"(,"node_size":)" +
         json::quote(row.node_size) + R"(,"reason":)" + json::quote(reason.value_or("")) + "}";
}

}  // namespace

Result<VersionObject> AppVersions::publish(const CatalogueCall& call, const std::string& app_name,
                                           const VersionRequest& wanted) {
  const auto app =
      parts_.database.read<AppRow>([&](db::Transaction& tx) { return published_app(tx, call.principal, app_name); });
  if (!app) return std::unexpected(app.error());
  if (auto admitted = parts_.admit_publish(app->id); !admitted) return std::unexpected(std::move(admitted.error()));
  if (auto checked = check_version_request(wanted); !checked) return std::unexpected(std::move(checked.error()));
  if (auto checked = check_published_compose(wanted, parts_.settings()); !checked)
    return std::unexpected(std::move(checked.error()));

  const UtcTime now = parts_.clock.now();
  auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "random number generator failed");
  AppVersionRow row{.id = std::move(*id),
                    .app_id = app->id,
                    .version = wanted.version,
                    .node_size = wanted.node_size.value_or(""),
                    .compose = wanted.compose,
                    .compose_sha256 = to_hex(sha256(bytes_of(wanted.compose))),
                    .health_path = wanted.health_path,
                    .source_commit = wanted.source_commit,
                    .source_tag = wanted.source_tag,
                    .published_by = call.principal.account_id.value_or(app->owner_account_id).str(),
                    .publish_context = context_of(call.principal),
                    .published_at = now,
                    .next_attempt_at = now};
  if (wanted.ingress) row.ingress = json::write(*wanted.ingress);
  if (wanted.declared_digests) row.declared_digests = json::write(*wanted.declared_digests);
  const auto stored = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    // It may have been archived, or changed hands, since it was looked at.
    if (const auto still = published_app(tx, call.principal, app_name); !still) return std::unexpected(still.error());
    if (auto made = versions_.create(tx, row); !made) return made;
    AuditEntry entry = catalogue_audit(call, "version_published", "app_version", row.id);
    entry.detail = version_detail(*app, row, {});
    const auto audited = audit_.append(tx, entry, now, parts_.random);
    if (!audited) return std::unexpected(audited.error());
    return {};
  });
  if (!stored) return std::unexpected(stored.error());
  parts_.wake_measuring();
  return version_object(*app, row, false);
}

Result<Page<VersionObject>> AppVersions::list(const Principal& principal, const std::string& app_name,
                                              const VersionFilter& filter, const PageRequest& page) {
  return parts_.database.read<Page<VersionObject>>([&](db::Transaction& tx) -> Result<Page<VersionObject>> {
    const auto app = visible_app(tx, principal, app_name);
    if (!app) return std::unexpected(app.error());
    const auto rows = versions_.list(tx, app->id, filter, page);
    if (!rows) return std::unexpected(rows.error());
    Page<VersionObject> out{.items = {}, .next = rows->next};
    for (const AppVersionRow& row : rows->items) out.items.push_back(version_object(*app, row, false));
    return out;
  });
}

Result<std::vector<AppVersionRow>> AppVersions::chosen(db::Transaction& tx, const AppRow& app,
                                                       const std::string& version,
                                                       const std::optional<std::string>& node_size) const {
  auto rows = versions_.variants(tx, app.id, version);
  if (!rows) return rows;
  if (node_size) std::erase_if(*rows, [&](const AppVersionRow& row) { return row.node_size != *node_size; });
  if (rows->empty()) return fail(ErrorCode::version_not_found);
  return rows;
}

Result<VersionVariants> AppVersions::get(const Principal& principal, const std::string& app_name,
                                         const std::string& version, const std::optional<std::string>& node_size) {
  return parts_.database.read<VersionVariants>([&](db::Transaction& tx) -> Result<VersionVariants> {
    const auto app = visible_app(tx, principal, app_name);
    if (!app) return std::unexpected(app.error());
    const auto rows = chosen(tx, *app, version, node_size);
    if (!rows) return std::unexpected(rows.error());
    VersionVariants out;
    for (const AppVersionRow& row : *rows) out.items.push_back(version_object(*app, row, true));
    return out;
  });
}

Result<VersionVariants> AppVersions::change(const CatalogueCall& call, const std::string& app_name,
                                            const std::string& version, const VersionChoice& choice,
                                            const ChangeOf& change, bool by_workflows) {
  return parts_.database.write<VersionVariants>([&](db::Transaction& tx) -> Result<VersionVariants> {
    const UtcTime now = parts_.clock.now();
    const auto app =
        by_workflows ? published_app(tx, call.principal, app_name) : managed_app(tx, call.principal, app_name);
    if (!app) return std::unexpected(app.error());
    const auto rows = chosen(tx, *app, version, choice.node_size);
    if (!rows) return std::unexpected(rows.error());
    std::size_t changed = 0;
    for (const AppVersionRow& row : *rows) {
      if (!next_status(row.status, change.event)) continue;
      const auto applied = change.apply(tx, row, now);
      if (!applied) return std::unexpected(applied.error());
      if (!*applied) continue;
      ++changed;
      AuditEntry entry = catalogue_audit(call, change.action, "app_version", row.id);
      entry.detail = version_detail(*app, row, choice.reason);
      if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
        return std::unexpected(std::move(audited.error()));
    }
    if (changed == 0) return fail(ErrorCode::invalid_version_transition, "no variant is in a state for it");
    const auto after = chosen(tx, *app, version, choice.node_size);
    if (!after) return std::unexpected(after.error());
    VersionVariants out;
    for (const AppVersionRow& row : *after) out.items.push_back(version_object(*app, row, false));
    return out;
  });
}

Result<VersionVariants> AppVersions::yank(const CatalogueCall& call, const std::string& app, const std::string& version,
                                          const VersionChoice& choice) {
  return change(
      call, app, version, choice,
      {VersionEvent::yank, "version_yanked",
       [this](db::Transaction& tx, const AppVersionRow& row, UtcTime now) { return versions_.yank(tx, row.id, now); }},
      true);
}

Result<VersionVariants> AppVersions::unyank(const CatalogueCall& call, const std::string& app,
                                            const std::string& version, const VersionChoice& choice) {
  return change(
      call, app, version, choice,
      {VersionEvent::unyank, "version_unyanked",
       [this](db::Transaction& tx, const AppVersionRow& row, UtcTime) { return versions_.unyank(tx, row.id); }},
      true);
}

Result<VersionVariants> AppVersions::remeasure(const CatalogueCall& call, const std::string& app,
                                               const std::string& version, const VersionChoice& choice) {
  auto done = change(call, app, version, choice,
                     {VersionEvent::remeasure, "version_remeasured",
                      [this](db::Transaction& tx, const AppVersionRow& row, UtcTime now) -> Result<bool> {
                        const auto code = error_code_of(row.rejection_code.value_or(""));
                        if (!code || !is_transient(*code)) return false;
                        return versions_.remeasure(tx, row.id, now);
                      }},
                     false);
  if (done) parts_.wake_measuring();
  return done;
}

Result<VersionVariants> AppVersions::set_mrtd(const CatalogueCall& call, const std::string& app_name,
                                              const std::string& version, const AttestRequest& wanted) {
  return parts_.database.write<VersionVariants>([&](db::Transaction& tx) -> Result<VersionVariants> {
    const UtcTime now = parts_.clock.now();
    const auto app = managed_app(tx, call.principal, app_name);
    if (!app) return std::unexpected(app.error());
    const auto rows = chosen(tx, *app, version, wanted.node_size);
    if (!rows) return std::unexpected(rows.error());
    for (const AppVersionRow& row : *rows) {
      const bool good = row.status == VersionStatus::attested && (!wanted.mrtd || !row.mrtd);
      if (!good)
        return fail(ErrorCode::invalid_version_transition, "only an attested version without an MRTD can be given one");
      if (!wanted.mrtd) continue;  // it is what was asked for already
      const auto set = versions_.set_mrtd(tx, row.id, *wanted.mrtd);
      if (!set) return std::unexpected(set.error());
      if (!*set) return fail(ErrorCode::invalid_version_transition);
      AuditEntry entry = catalogue_audit(call, "version_mrtd_set", "app_version", row.id);
      entry.detail = version_detail(*app, row, wanted.reason);
      if (auto audited = audit_.append(tx, entry, now, parts_.random); !audited)
        return std::unexpected(std::move(audited.error()));
    }
    const auto after = chosen(tx, *app, version, wanted.node_size);
    if (!after) return std::unexpected(after.error());
    VersionVariants out;
    for (const AppVersionRow& row : *after) out.items.push_back(version_object(*app, row, false));
    return out;
  });
}

}  // namespace ee::cp
