#include "cp/service/revisions.h"

#include <fmt/format.h>

namespace ee::cp {
namespace {

std::string associated(const DeploymentId& id, std::int64_t revision, std::string_view name) {
  return fmt::format("{}|{}|{}", id.str(), revision, name);
}

}  // namespace

Result<void> Revisions::add(db::Transaction& tx, const RevisionRow& row, const SecretValues& secrets) const {
  if (auto done = rows_.insert(tx, row); !done) return done;
  for (const auto& [name, secret] : secrets) {
    const auto boxed = box_.seal(secret.value.reveal(), associated(row.deployment_id, row.revision, name), random_);
    if (!boxed) return std::unexpected(boxed.error());
    const auto stored = rows_.insert_secret(tx, {.deployment_id = row.deployment_id,
                                                 .revision = row.revision,
                                                 .name = name,
                                                 .as_kind = secret.as,
                                                 .key_id = boxed->key_id,
                                                 .sealed = boxed->sealed});
    if (!stored) return stored;
  }
  return {};
}

Result<SecretValues> Revisions::secrets(db::Transaction& tx, const DeploymentId& id, std::int64_t revision) const {
  const auto rows = rows_.secrets(tx, id, revision);
  if (!rows) return std::unexpected(rows.error());
  SecretValues out;
  for (const SecretRow& row : *rows) {
    auto value = box_.open({.key_id = row.key_id, .sealed = row.sealed}, associated(id, revision, row.name));
    if (!value) return std::unexpected(value.error());
    out.emplace(row.name, SecretValue{.value = std::move(*value), .as = row.as_kind});
  }
  return out;
}

Result<std::int64_t> Revisions::copy(db::Transaction& tx, const DeploymentId& id, std::int64_t from,
                                     const std::string& created_by, UtcTime now) const {
  auto row = rows_.get(tx, id, from);
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::internal_error, "a revision is missing");
  const auto values = secrets(tx, id, from);
  if (!values) return std::unexpected(values.error());
  const auto last = rows_.last(tx, id);
  if (!last) return last;
  RevisionRow made = std::move(**row);
  made.revision = *last + 1;
  made.created_by = created_by;
  made.created_at = now;
  made.outcome = RevisionOutcome::pending;
  if (auto done = add(tx, made, *values); !done) return std::unexpected(done.error());
  return made.revision;
}

}  // namespace ee::cp
