#include "tests/support/test_trigger.h"

#include <fmt/format.h>

#include "tests/support/test_database.h"

namespace ee::testing {

std::vector<std::string> TestTrigger::sql() const {
  if (!on_postgres()) {
    const std::string condition = when.empty() ? "" : "WHEN " + when + " ";
    const std::string action = message.empty() ? "IGNORE" : "ABORT, '" + message + "'";
    return {
        fmt::format("CREATE TRIGGER {} {} ON {} {}BEGIN SELECT RAISE({}); END", name, event, table, condition, action)};
  }
  const std::string action = message.empty() ? "RETURN NULL;" : "RAISE EXCEPTION '" + message + "';";
  const std::string body = when.empty() ? action : "IF " + when + " THEN " + action + " END IF;";
  return {fmt::format("CREATE OR REPLACE FUNCTION test_{}() RETURNS trigger LANGUAGE plpgsql AS $test$ BEGIN {} "
                      "RETURN NEW; END $test$",
                      name, body),
          fmt::format("CREATE TRIGGER {0} {1} ON {2} FOR EACH ROW EXECUTE FUNCTION test_{0}()", name, event, table)};
}

std::string drop_trigger_sql(std::string_view name, std::string_view table) {
  return on_postgres() ? fmt::format("DROP TRIGGER {} ON {}", name, table) : fmt::format("DROP TRIGGER {}", name);
}

}  // namespace ee::testing
