# Script: writes OUTPUT, a C++ file with the text of each DIR/NNN_name.sql in order of its number.
file(GLOB files "${DIR}/*.sql")
list(SORT files)
set(rows "")
foreach(file IN LISTS files)
  get_filename_component(stem "${file}" NAME_WE)
  if(NOT stem MATCHES "^([0-9][0-9][0-9])_([a-z0-9_]+)$")
    message(FATAL_ERROR "${file}: a migration is named NNN_name.sql")
  endif()
  set(name "${CMAKE_MATCH_2}")
  string(REGEX REPLACE "^0+" "" version "${CMAKE_MATCH_1}")
  file(READ "${file}" text)
  if(text MATCHES "\\)ee_sql\"")
    message(FATAL_ERROR "${file}: holds the end of a raw string")
  endif()
  string(APPEND rows "    {.version = ${version}, .name = \"${name}\", .sql = R\"ee_sql(${text})ee_sql\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "// Made from migrations/*.sql by cmake/embed_migrations.cmake.
#include \"cp/store/schema.h\"

namespace ee::cp {

std::span<const db::Migration> migrations() {
  static constexpr db::Migration all[] = {
${rows}  };
  return all;
}

}  // namespace ee::cp
")
