#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <string>

namespace ee::testing {

/// A row of SQLite's EXPLAIN QUERY PLAN.
struct PlanRow {
  std::int64_t id = 0;
  std::int64_t parent = 0;
  std::int64_t notused = 0;
  std::string detail;
};
BOOST_DESCRIBE_STRUCT(PlanRow, (), (id, parent, notused, detail))

}  // namespace ee::testing
