#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "db/database.h"

namespace ee::cp {

/// What an UPDATE of a row has to name. An index whose columns are not named is not touched, and a row that changes its
/// state has a dozen indexes of which two or three speak of it.
struct ChangedColumns {
  std::string assignments = {};  ///< `a=:a, b=:b, `: each with its comma
  db::Params params = {};
};

/// The columns that differ, but for those in `never`. `before` is the row as the table has it: the statement compares
/// its version.
template <class Row>
ChangedColumns changed_columns(const Row& before, const Row& after, std::initializer_list<std::string_view> never) {
  ChangedColumns changed;
  boost::mp11::mp_for_each<db::members_of<Row>>([&](auto member) {
    const std::string_view name = member.name;
    if (before.*member.pointer == after.*member.pointer || std::ranges::find(never, name) != never.end()) return;
    changed.assignments += fmt::format("{0}=:{0}, ", name);
    changed.params.emplace_back(name, after.*member.pointer);
  });
  return changed;
}

}  // namespace ee::cp
