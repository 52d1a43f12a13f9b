# ee_embed_migrations(target DIR dir): every dir/NNN_name.sql becomes part of `target`, as ee::cp::migrations().
function(ee_embed_migrations target)
  cmake_parse_arguments(arg "" "DIR" "" ${ARGN})
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_DIR}/*.sql")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/generated/${target}_migrations.cpp")
  file(CONFIGURE OUTPUT "${output}.list" CONTENT "${files}")  # written when it differs: a file that is gone counts too
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DDIR=${PROJECT_SOURCE_DIR}/${arg_DIR}"
            -P "${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake"
    DEPENDS ${files} "${output}.list" "${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake"
    VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
