#!/usr/bin/env bash
# make tsan: the concurrent parts (everything below HTTP that has threads, and the HTTP server) under ThreadSanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
cmake --preset tsan >/dev/null
programs=(ee_common_test ee_db_test ee_net_test ee_cp_service_test ee_cp_jobs_test)
ninja -C build/tsan "${programs[@]}" | tail -n 1
# Left out: long tests in which one thread does everything; they run under AddressSanitizer.
alone='-DeploymentProperty.*:HeartbeatScaleTest.*:PlacerTest.AmongAHundredThousandAgents*'
echo "left out, as they have one thread: ${alone#-}"
for program in "${programs[@]}"; do
  echo "== $program"
  TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tools/tsan.supp:second_deadlock_stack=1 "build/tsan/$program" --gtest_brief=1 --gtest_filter="$alone"
done
