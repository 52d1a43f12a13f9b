# Everything comes from Debian 12 packages (tools/packages.txt).
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(OpenSSL 3 REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
add_library(ee::sodium ALIAS PkgConfig::sodium)
add_library(ee::yaml ALIAS PkgConfig::yaml)

add_library(ee_boost_url INTERFACE)
target_link_libraries(ee_boost_url INTERFACE Boost::url)
add_library(ee::boost_url ALIAS ee_boost_url)

# prometheus-cpp and SOCI: found as libraries; SOCI's package has no CMake configuration.
find_library(EE_PROMETHEUS_CORE prometheus-cpp-core REQUIRED)
add_library(ee_prometheus INTERFACE)
target_link_libraries(ee_prometheus INTERFACE ${EE_PROMETHEUS_CORE})
add_library(ee::prometheus ALIAS ee_prometheus)

# The static ones: the shared libraries hide type information that UBSan asks for.
find_library(EE_SOCI_CORE libsoci_core.a REQUIRED)
find_library(EE_SOCI_SQLITE libsoci_sqlite3.a REQUIRED)
find_library(EE_SQLITE sqlite3 REQUIRED)
add_library(ee_soci INTERFACE)
target_link_libraries(ee_soci INTERFACE ${EE_SOCI_SQLITE} ${EE_SOCI_CORE} ${EE_SQLITE} ${CMAKE_DL_LIBS})
add_library(ee::soci ALIAS ee_soci)

# PostgreSQL: the client library itself (docs/decisions/postgresql.md).
find_path(EE_LIBPQ_INCLUDE libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
find_library(EE_LIBPQ pq REQUIRED)
add_library(ee_libpq INTERFACE)
target_include_directories(ee_libpq SYSTEM INTERFACE ${EE_LIBPQ_INCLUDE})
target_link_libraries(ee_libpq INTERFACE ${EE_LIBPQ})
add_library(ee::libpq ALIAS ee_libpq)

add_library(ee_cli11 INTERFACE)
add_library(ee::cli11 ALIAS ee_cli11)

if(EE_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
  find_library(EE_RAPIDCHECK rapidcheck REQUIRED)
  add_library(ee_rapidcheck INTERFACE)
  target_link_libraries(ee_rapidcheck INTERFACE ${EE_RAPIDCHECK})
  add_library(ee::rapidcheck ALIAS ee_rapidcheck)
endif()
