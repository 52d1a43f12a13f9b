#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ee::testing {

/// A trigger by which a test makes a write fail, or miss its row, as the engine of this run writes it. For each row.
struct TestTrigger {
  std::string name;
  std::string event;  ///< "BEFORE INSERT", "BEFORE UPDATE OF column"
  std::string table;
  std::string when;     ///< over NEW and OLD; empty: always
  std::string message;  ///< what the statement fails with; empty: the row is passed over as if it were not there

  std::vector<std::string> sql() const;
};

/// Removes a trigger of the schema or of a test.
std::string drop_trigger_sql(std::string_view name, std::string_view table);

/// `database`: a TestDatabase or a TestControlPlane.
template <class Database>
void set_trigger(Database& database, const TestTrigger& trigger) {
  for (const std::string& statement : trigger.sql()) database.execute(statement);
}
template <class Database>
void drop_trigger(Database& database, std::string_view name, std::string_view table) {
  database.execute(drop_trigger_sql(name, table));
}

}  // namespace ee::testing
