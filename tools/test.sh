#!/usr/bin/env bash
# make test: everything that CI runs.
#   formatter, include directions    the suite under AddressSanitizer and UBSan, fuzz corpora included
#   the concurrent parts under ThreadSanitizer    a scan of what the suite left behind for secrets
#   what ships, built by g++ without the emulator    make run as a user would
# clang-tidy is a target of its own: make lint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
started=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
export EE_TEST_VECTORS=${EE_TEST_VECTORS:-$PWD/../shared/vectors}
jobs=$(nproc)

step "format and include directions"
LINT_FAST=1 tools/lint.sh

step "npm packages of the interoperability tests"
if command -v npm >/dev/null; then
  for folder in tests/*/package-lock.json; do
    (cd "$(dirname "$folder")" && npm ci --silent --no-audit --no-fund) || echo "npm ci failed: the test skips and says so"
  done
else
  echo "no npm here: the tests skip and say so"
fi

step "build with AddressSanitizer and UBSan"
cmake --preset asan >/dev/null
ninja -C build/asan | tail -n 1

step "suite"
rm -rf build/asan/artifacts build/asan/planted && mkdir -p build/asan/artifacts
EE_TEST_ARTIFACTS=$PWD/build/asan/artifacts ctest --test-dir build/asan -j "$jobs" --output-on-failure --no-tests=error \
  >build/asan/suite.log || { grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ *Start ' build/asan/suite.log; exit 1; }
tail -n 4 build/asan/suite.log
echo "skipped, and why:"
skips=$(grep -hE '\*\*\*Skipped' build/asan/suite.log || true)
echo "${skips:-  nothing}"
# GoogleTest's own words: the place, and the reason on the line after it.
grep -A1 -hE ': Skipped$' build/asan/Testing/Temporary/LastTest.log || true

step "no secret in what the suite left behind"
python3 tests/secret_scan.py build/asan/artifacts

step "ThreadSanitizer"
tools/tsan.sh

step "what ships: g++, optimised, without the emulator"
tools/check-release.sh

step "make run"
run_dir=$(mktemp -d)
EE_RUN_DIR=$run_dir EE_RUN_PORT=18080 EE_RUN_AGENT_PORT=18088 EE_RUN_ONCE=1 tools/run.sh | grep -v -iE 'password|API key'
python3 tests/secret_scan.py "$run_dir"
rm -rf "$run_dir"

step "done"
# The suite's own closing line once more, so that it is the last thing printed.
grep -E 'tests passed' build/asan/suite.log
