#include "db/sqlite_statement.h"

#include <fmt/format.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace ee::db {

namespace {

/// Where SOCI reads a parameter from or writes a column to. Its address must not change while a statement knows it.
struct Slot {
  std::string name = {};
  ColumnType type = ColumnType::text;
  long long integer = 0;
  std::string text = {};
  soci::indicator indicator = soci::i_null;
};

bool is_null(const Value& value) { return std::holds_alternative<std::monostate>(value); }
ColumnType type_of(const Value& value) {
  return std::holds_alternative<std::int64_t>(value) ? ColumnType::integer : ColumnType::text;
}

void store(Slot& slot, const Value& value) {
  slot.indicator = is_null(value) ? soci::i_null : soci::i_ok;
  if (is_null(value)) return;
  if (slot.type == ColumnType::integer) {
    slot.integer = std::get<std::int64_t>(value);
  } else {
    slot.text = std::get<std::string>(value);
  }
}

Value load(Slot& slot) {
  if (slot.indicator == soci::i_null) return std::monostate{};
  if (slot.type == ColumnType::integer) return static_cast<std::int64_t>(slot.integer);
  return std::move(slot.text);
}

}  // namespace

struct SqliteStatement::Impl {
  Impl(soci::session& session_, std::string_view sql_) : session(session_), sql(sql_) { prepare(); }

  soci::session& session;
  std::string sql;
  std::vector<Slot> uses;   // grows only before the statement learns the addresses
  std::vector<Slot> intos;  // the same
  std::unique_ptr<soci::statement> statement;
  bool ready = false;  // the slots fit the statement and it knows them

  sqlite_api::sqlite3_stmt* raw() const {
    return static_cast<soci::sqlite3_statement_backend*>(statement->get_backend())->stmt_;
  }

  void prepare() {
    statement = std::make_unique<soci::statement>(session);
    statement->alloc();
    statement->prepare(sql);
    if (raw() == nullptr) throw std::logic_error("an empty statement");
    // SOCI ignores what follows the first statement.
    const std::string_view compiled = sqlite_api::sqlite3_sql(raw());
    if (sql.find_first_not_of(" \t\r\n;", compiled.size()) != std::string::npos) {
      throw std::logic_error("more than one statement in one text");
    }
  }

  /// Prepares anew for these parameters and columns.
  void rebuild(const Params& params, const std::vector<ColumnType>& types) {
    forget_slots();
    for (const Param& param : params) {
      uses.push_back({.name = std::string(param.name), .type = type_of(param.value)});
    }
    for (const ColumnType type : types) intos.push_back({.type = type});
    try {
      exchange_slots();
    } catch (...) {
      forget_slots();
      throw;
    }
    ready = true;
  }

  /// Back to a statement that knows no slots, as it points into them.
  void forget_slots() {
    ready = false;
    statement.reset();
    uses.clear();
    intos.clear();
    prepare();
  }

  void exchange_slots() {
    for (Slot& slot : uses) {
      if (slot.type == ColumnType::integer) {
        statement->exchange(soci::use(slot.integer, slot.indicator, slot.name));
      } else {
        statement->exchange(soci::use(slot.text, slot.indicator, slot.name));
      }
    }
    for (Slot& slot : intos) {
      if (slot.type == ColumnType::integer) {
        statement->exchange(soci::into(slot.integer, slot.indicator));
      } else {
        statement->exchange(soci::into(slot.text, slot.indicator));
      }
    }
    statement->define_and_bind();
    // A parameter that nobody binds would silently be NULL.
    const auto parameters = static_cast<std::size_t>(sqlite_api::sqlite3_bind_parameter_count(raw()));
    if (parameters != uses.size()) {
      throw std::logic_error(fmt::format("the statement has {} parameters, {} were given", parameters, uses.size()));
    }
    const auto columns = static_cast<std::size_t>(sqlite_api::sqlite3_column_count(raw()));
    if (!intos.empty() && columns != intos.size()) {
      throw std::logic_error(fmt::format("the statement has {} columns, {} were asked for", columns, intos.size()));
    }
  }

  Slot* slot_of(const Params& params, std::size_t index) {
    if (uses[index].name == params[index].name) return &uses[index];
    const auto found = std::ranges::find(uses, params[index].name, &Slot::name);
    return found == uses.end() ? nullptr : &*found;
  }

  /// Writes the parameters into their slots; false when the slots do not fit them.
  bool fill(const Params& params, const std::vector<ColumnType>& types) {
    if (!ready || params.size() != uses.size() || !std::ranges::equal(types, intos, {}, {}, &Slot::type)) return false;
    for (std::size_t i = 0; i < params.size(); ++i) {
      Slot* slot = slot_of(params, i);
      if (slot == nullptr || (!is_null(params[i].value) && slot->type != type_of(params[i].value))) return false;
      store(*slot, params[i].value);
    }
    return true;
  }

  void bind(const Params& params, const std::vector<ColumnType>& types) {
    if (!fill(params, types)) {
      rebuild(params, types);
      if (!fill(params, types)) throw std::logic_error("a parameter was given twice");
    }
  }
};

namespace {
/// A statement that was not run to its end keeps its read lock: always reset it, also after an error.
class ResetGuard {
 public:
  explicit ResetGuard(sqlite_api::sqlite3_stmt* statement) : statement_(statement) {}
  ResetGuard(const ResetGuard&) = delete;
  ResetGuard& operator=(const ResetGuard&) = delete;
  ~ResetGuard() { sqlite_api::sqlite3_reset(statement_); }

 private:
  sqlite_api::sqlite3_stmt* statement_;
};
}  // namespace

SqliteStatement::SqliteStatement(soci::session& session, std::string_view sql)
    : impl_(std::make_unique<Impl>(session, sql)) {}
SqliteStatement::~SqliteStatement() = default;

RawRows SqliteStatement::query(const Params& params, const std::vector<ColumnType>& types) {
  impl_->bind(params, types);
  const ResetGuard guard(impl_->raw());
  RawRows rows{.width = types.size(), .cells = {}};
  for (bool more = impl_->statement->execute(true); more; more = impl_->statement->fetch()) {
    for (Slot& slot : impl_->intos) rows.cells.push_back(load(slot));
  }
  return rows;
}

std::int64_t SqliteStatement::change(const Params& params) {
  impl_->bind(params, {});
  const ResetGuard guard(impl_->raw());
  // With data exchange also where there are no columns: it is what sends the parameters.
  impl_->statement->execute(true);
  auto* backend = static_cast<soci::sqlite3_session_backend*>(impl_->session.get_backend());
  return sqlite_api::sqlite3_changes64(backend->conn_);
}

}  // namespace ee::db
