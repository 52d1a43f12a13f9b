# ee_library(name DIR dir [RECURSE] [TEST_TIMEOUT seconds] LINKS ...): every .cpp of the folder but *_test.cpp makes the library, every
# *_test.cpp makes the test program <name>_test, whose cases ctest finds one by one.
# Folders without sources yet make an INTERFACE library, so that links can be written down first.
function(ee_library name)
  cmake_parse_arguments(arg "RECURSE" "DIR;TEST_TIMEOUT" "LINKS;TEST_LINKS" ${ARGN})
  set(glob GLOB)
  if(arg_RECURSE)
    set(glob GLOB_RECURSE)
  endif()
  file(${glob} sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_DIR}/*.cpp")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(${name} PUBLIC ${arg_LINKS})
    ee_precompile(${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(${name} INTERFACE ${arg_LINKS})
  endif()
  if(EE_TESTS AND tests)
    ee_test(${name}_test SOURCES ${tests} LINKS ${name} ${arg_TEST_LINKS} TIMEOUT ${arg_TEST_TIMEOUT})
  endif()
endfunction()

# ee_test(name SOURCES ... LINKS ...): one GoogleTest program; LABELS and TIMEOUT are ctest's.
function(ee_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  ee_precompile(${name})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${arg_LINKS} ee_test_support GTest::gmock GTest::gtest_main)
  # Cases of Postgres*Test need a server: they run together, as one test (tests/CMakeLists.txt).
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_FILTER "-Postgres*Test.*"
    WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
