#!/usr/bin/env bash
# make tsan: the concurrent parts (common, db, net) under ThreadSanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
cmake --preset tsan >/dev/null
ninja -C build/tsan ee_common_test ee_db_test ee_net_test | tail -n 1
for program in ee_common_test ee_db_test ee_net_test; do
  echo "== $program"
  TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tools/tsan.supp:second_deadlock_stack=1 "build/tsan/$program" --gtest_brief=1
done
