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

/// `made` has its ids, its number and who made it; the rest is that of the other.
Result<void> Revisions::copy_as(db::Transaction& tx, const DeploymentId& id, std::int64_t from,
                                const RevisionRow& made) const {
  auto row = rows_.get(tx, id, from);
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::internal_error, "a revision is missing");
  const auto values = secrets(tx, id, from);
  if (!values) return std::unexpected(values.error());
  RevisionRow copied = std::move(**row);
  copied.deployment_id = made.deployment_id;
  copied.revision = made.revision;
  copied.created_by = made.created_by;
  copied.created_at = made.created_at;
  copied.outcome = RevisionOutcome::pending;
  return add(tx, copied, *values);
}

Result<std::int64_t> Revisions::copy(db::Transaction& tx, const DeploymentId& id, std::int64_t from,
                                     const std::string& created_by, UtcTime now) const {
  const auto last = rows_.last(tx, id);
  if (!last) return last;
  const std::int64_t number = *last + 1;
  if (auto done =
          copy_as(tx, id, from, {.deployment_id = id, .revision = number, .created_by = created_by, .created_at = now});
      !done)
    return std::unexpected(done.error());
  return number;
}

Result<void> Revisions::copy_to(db::Transaction& tx, const DeploymentId& id, std::int64_t from, const DeploymentId& to,
                                const std::string& created_by, UtcTime now) const {
  return copy_as(tx, id, from, {.deployment_id = to, .revision = 1, .created_by = created_by, .created_at = now});
}

}  // namespace ee::cp
