# Compiler, warnings, sanitizers and linker, for every target.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
# Position independent executables; there are no shared libraries, so one flag fits all and one precompiled header too.
add_compile_options(-fPIE)
add_link_options(-pie)

set(EE_OPTIMIZE "-O0 -g1" CACHE STRING "optimisation and debug flags")
set(EE_SANITIZE "" CACHE STRING "comma list for -fsanitize=")
option(EE_EMULATOR "compile the TDX emulator in (never in what ships)" ON)
option(EE_TESTS "build tests" ON)
option(EE_FUZZ "build libFuzzer targets (clang)" OFF)

# The build types' own flags are replaced: EE_OPTIMIZE says it all, and assertions of libraries stay on.
set(CMAKE_CXX_FLAGS_DEBUG "")
set(CMAKE_CXX_FLAGS_RELEASE "")
separate_arguments(ee_optimize UNIX_COMMAND "${EE_OPTIMIZE}")
add_compile_options(${ee_optimize} -fno-omit-frame-pointer -fstack-protector-strong)
if(EE_OPTIMIZE MATCHES "-O[123]" AND NOT EE_SANITIZE)
  add_compile_options(-D_FORTIFY_SOURCE=2)
endif()
if(EE_SANITIZE)
  add_compile_options(-fsanitize=${EE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${EE_SANITIZE})
  if(EE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
endif()
if(EE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(EE_EMULATOR)
  add_compile_definitions(EE_EMULATOR=1)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wno-c++26-extensions)
else()
  # GCC 12 reports these inside its own std::variant, std::optional and std::string at -O2; see GCC bugs 105562, 105651.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds -Wno-dangling-reference)
endif()

find_program(EE_CCACHE ccache)
if(EE_CCACHE)
  # What was compiled in another checkout counts here too; precompiled headers need the sloppiness (ccache's manual), and
  # that files are known by what the compiler read: it cannot preprocess with a header that came from standard input.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_DEPEND=1 ${EE_CCACHE})
endif()
find_program(EE_MOLD mold)
if(EE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
