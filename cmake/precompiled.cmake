# One precompiled header for every target, under clang only: its precompiled headers are loaded lazily and halve the build.
# g++ gains nothing from one, so its builds (make run, make bench, what ships) also show that each file includes what it uses.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND EE_TESTS)
  file(WRITE "${PROJECT_BINARY_DIR}/precompiled.cpp" "")
  add_library(ee_precompiled OBJECT "${PROJECT_BINARY_DIR}/precompiled.cpp")
  # Fingerprints instead of times, so that ccache may keep what was built with it.
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
  target_compile_options(ee_precompiled PRIVATE "SHELL:-Xclang -fno-pch-timestamp" -fpch-instantiate-templates)
  target_link_libraries(ee_precompiled PRIVATE fmt::fmt Boost::json GTest::gmock)
  target_precompile_headers(ee_precompiled PRIVATE
    <algorithm> <array> <atomic> <cerrno> <charconv> <chrono> <condition_variable> <cstdint> <cstdlib> <cstring> <deque>
    <exception> <expected> <filesystem> <fstream> <functional> <future> <iterator> <limits> <list> <map> <memory> <mutex>
    <optional> <ranges> <set> <span> <sstream> <stdexcept> <stop_token> <string> <string_view> <thread> <tuple>
    <unordered_map> <utility> <variant> <vector>
    <boost/describe.hpp> <boost/json.hpp> <boost/mp11.hpp> <fmt/format.h> <gmock/gmock.h> <gtest/gtest.h>)
endif()

# ee_precompile(target): lets the target use it.
function(ee_precompile target)
  if(TARGET ee_precompiled)
    target_precompile_headers(${target} REUSE_FROM ee_precompiled)
  endif()
endfunction()
