# One precompiled header for every target, under clang only: it loads them lazily, which halves a build. g++ gains little
# from one, so its builds (make bench, what ships) also show that each file includes what it uses.
# Not CMake's own: that one names absolute paths, and then ccache knows nothing of what another checkout has built.
set(ee_use_precompiled OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND EE_TESTS)
  set(ee_use_precompiled ON)
  file(RELATIVE_PATH ee_precompiled_header "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}/cmake/precompiled.h")
  get_directory_property(ee_flags COMPILE_OPTIONS)
  add_custom_command(OUTPUT precompiled.pch
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${CMAKE_CXX_COMPILER} -std=c++23 ${ee_flags}
      -DGTEST_HAS_PTHREAD=1 -DFMT_SHARED -Xclang -fno-pch-timestamp -fpch-instantiate-templates
      -x c++-header ${ee_precompiled_header} -o precompiled.pch -MD -MF precompiled.pch.d -MT precompiled.pch
    DEPENDS cmake/precompiled.h DEPFILE precompiled.pch.d COMMENT "precompiled.pch" COMMAND_EXPAND_LISTS)
  add_custom_target(ee_precompiled DEPENDS precompiled.pch)
endif()

# ee_precompile(target): lets the target use it.
function(ee_precompile target)
  if(ee_use_precompiled)
    target_compile_options(${target} PRIVATE "SHELL:-include-pch precompiled.pch")
    add_dependencies(${target} ee_precompiled)
  endif()
endfunction()
