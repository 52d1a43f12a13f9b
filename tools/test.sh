#!/usr/bin/env bash
# make test: formatter and include directions, the whole suite under AddressSanitizer and UBSan, the concurrent parts
# under ThreadSanitizer, clang-tidy, make run as a user would, and a scan of everything the suite left for secrets.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
started=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
# What was compiled in another checkout counts here too.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export EE_TEST_VECTORS=${EE_TEST_VECTORS:-$PWD/../shared/vectors}
jobs=$(nproc)

step "format and include directions"
LINT_FAST=1 tools/lint.sh

step "build with AddressSanitizer and UBSan"
cmake --preset asan >/dev/null
ninja -C build/asan | tail -n 1

step "suite"
rm -rf build/asan/artifacts build/asan/planted && mkdir -p build/asan/artifacts
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
EE_TEST_ARTIFACTS=$PWD/build/asan/artifacts ctest --test-dir build/asan -j "$jobs" --output-on-failure --no-tests=error \
  >build/asan/suite.log || { grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ *Start ' build/asan/suite.log; exit 1; }
tail -n 4 build/asan/suite.log
echo "skipped, and why:"
skips=$(grep -rhE 'Skipped' build/asan/suite.log || true)
echo "${skips:-  nothing}"

step "no secret in what the suite left behind"
python3 tests/secret_scan.py build/asan/artifacts

step "concurrent parts under ThreadSanitizer"
cmake --preset tsan >/dev/null
tsan_targets=(ee_common_test ee_db_test ee_net_test)
ninja -C build/tsan "${tsan_targets[@]}" | tail -n 1
TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tools/tsan.supp:second_deadlock_stack=1 \
  ctest --test-dir build/tsan -j "$jobs" --output-on-failure --no-tests=error -E '_NOT_BUILT|fuzz_corpus' >build/tsan/suite.log ||
  { grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ *Start ' build/tsan/suite.log; exit 1; }
tail -n 4 build/tsan/suite.log

step "make run, with the programs just built"
run_dir=$(mktemp -d)
EE_RUN_BIN=build/asan EE_RUN_DIR=$run_dir EE_RUN_PORT=18080 EE_RUN_AGENT_PORT=18088 EE_RUN_ONCE=1 tools/run.sh | grep -v -i password
python3 tests/secret_scan.py "$run_dir"
rm -rf "$run_dir"

step "clang-tidy"
tools/lint.sh | tail -n 1

step "done"
# The suite's own closing line once more, so that it is the last thing printed.
grep -E 'tests passed' build/asan/suite.log
