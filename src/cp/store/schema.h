#pragma once
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "db/migrations.h"

namespace ee::cp {

/// The control plane's schema: the texts of migrations/NNN_name.sql, built into the program.
std::span<const db::Migration> migrations();

struct SchemaReport {
  db::MigrationReport migration;
  /// Guards (triggers) that a database with this schema should have had and did not: somebody removed them. They are
  /// there again; the caller logs and audits it. Always empty for a schema that was just brought up.
  std::vector<std::string> restored_guards;
};

/// Whether a guard protects the ledger: its loss is audited as `ledger_guard_missing`.
bool is_ledger_guard(std::string_view name);

/// Brings the schema up to date and sets its guards. What a program does once, before anything else uses the database.
/// Errors: see db::migrate.
///
/// Guards are triggers that keep what must not be rewritten: rows of `audit_log` and `attestation_audit` are never
/// updated, and deleted only when they are older than 90 days (the least that retention may keep); the ledger's rows
/// are never changed or deleted, a sealed group takes no line, and a header needs all its lines, summing to zero; the
/// content of a published version and lists of revenue shares never change. They are no part of the migrations because
/// the two engines write triggers differently.
std::expected<SchemaReport, db::StartError> prepare_schema(db::ServedDatabase& database,
                                                           const db::DatabaseIdentity& identity, const Clock& clock,
                                                           Random& random);

}  // namespace ee::cp
