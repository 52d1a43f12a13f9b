#!/usr/bin/env bash
# make test-postgres: the suites that use a database, again on a PostgreSQL server of their own. `make test` runs the
# stores and the replicas of them; this takes as long as those suites do, and is for whoever changes SQL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
export EE_TEST_VECTORS=${EE_TEST_VECTORS:-$PWD/../shared/vectors}
export EE_TEST_DATABASE=postgresql RC_PARAMS=${RC_PARAMS:-max_success=10}
programs=(ee_db_test ee_cp_store_test ee_cp_service_test ee_cp_jobs_test ee_cp_http_test ee_cp_app_test ee_replicas_test)
cmake --preset dev >/dev/null
ninja -C build/dev "${programs[@]}" | tail -n 1
failed=()
for program in "${programs[@]}"; do
  echo "== $program"
  "$(find build/dev -maxdepth 2 -type f -name "$program")" --gtest_brief=1 || failed+=("$program")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
