#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "cp/domain/cursor.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// An item of `GET /api/v1/admin/audit`; decisions about evidence are among them.
struct AuditView {
  std::string id;
  UtcTime at;
  std::string actor;
  std::string action;
  std::optional<std::string> object_type;
  std::optional<std::string> object_id;
  AuditResult result = AuditResult::ok;
  std::optional<std::string> reason_code;
  std::optional<std::string> request_id;
  std::optional<std::string> client_address;
  std::optional<std::string> detail;  ///< JSON text
};
BOOST_DESCRIBE_STRUCT(AuditView, (),
                      (id, at, actor, action, object_type, object_id, result, reason_code, request_id, client_address,
                       detail))
constexpr std::string_view json_name(json::For<AuditView> /*type*/) { return "AuditRow"; }

struct AuditPage {
  std::vector<AuditView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AuditPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AuditPage> /*type*/) { return "AuditPage"; }

/// The audit log as lines of JSON, newest first, a page at a time. Rows that are written meanwhile are not among them.
/// Not thread-safe; the database outlives it.
class AuditExport {
 public:
  static constexpr std::int64_t kRowsAtOnce = 500;
  static constexpr std::int64_t kRowsMax = 1'000'000;

  AuditExport(db::Database& database, AuditFilter filter) : database_(database), filter_(std::move(filter)) {}
  /// The next lines; empty at the end. Errors: of the database.
  Result<std::string> next();
  bool ended() const { return ended_; }

 private:
  db::Database& database_;
  AuditFilter filter_;
  std::optional<PagePosition> after_;
  std::int64_t rows_ = 0;
  bool ended_ = false;
};

/// Reads the audit log for administrators. Thread-safe.
class AuditListing {
 public:
  AuditListing(db::Database& database, const CursorCodec& cursors) : database_(database), cursors_(cursors) {}

  /// Newest first.
  Result<AuditPage> list(const AuditFilter& filter, const PageRequest& page) const;
  /// All that `filter` lets through, at most AuditExport::kRowsMax.
  AuditExport export_of(AuditFilter filter) const { return {database_, std::move(filter)}; }

 private:
  db::Database& database_;
  const CursorCodec& cursors_;
};

}  // namespace ee::cp
