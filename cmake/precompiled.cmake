# One precompiled header for every target, under clang only: it loads them lazily, which halves a build. g++ gains little
# from one, so its builds (make bench, what ships) also show that each file includes what it uses.
# Not CMake's own: that one names absolute paths, and then ccache knows nothing of what another checkout has built.
set(ee_use_precompiled OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND EE_TESTS)
  set(ee_use_precompiled ON)
  get_directory_property(ee_flags COMPILE_OPTIONS)
  # Read from standard input at the root: what is made names no folder of this checkout, so it is the same in each one, and
  # what ccache gives from another checkout does not ask for files that may be gone.
  add_custom_command(OUTPUT precompiled.pch
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++23 ${ee_flags}
      -DGTEST_HAS_PTHREAD=1 -DFMT_SHARED -Xclang -fno-pch-timestamp -fpch-instantiate-templates
      -x c++-header - -o ${PROJECT_BINARY_DIR}/precompiled.pch
      -MD -MF ${PROJECT_BINARY_DIR}/precompiled.pch.d -MT precompiled.pch < ${PROJECT_SOURCE_DIR}/cmake/precompiled.h
    DEPENDS cmake/precompiled.h DEPFILE precompiled.pch.d COMMENT "precompiled.pch" COMMAND_EXPAND_LISTS
    WORKING_DIRECTORY /)
  add_custom_target(ee_precompiled DEPENDS precompiled.pch)
endif()

# ee_precompile(target): lets the target use it.
function(ee_precompile target)
  if(ee_use_precompiled)
    target_compile_options(${target} PRIVATE "SHELL:-include-pch precompiled.pch")
    add_dependencies(${target} ee_precompiled)
  endif()
endfunction()
