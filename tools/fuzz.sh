#!/usr/bin/env bash
# make fuzz: libFuzzer over every parser of outside bytes, FUZZ_SECONDS each (60) or FUZZ_RUNS executions, whichever ends first,
# with what is found kept in build/fuzz-corpus so that a later run goes on. FUZZ_TARGETS="quote jwt" chooses. A whole campaign is
# FUZZ_SECONDS=900 FUZZ_RUNS=10000000.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
cmake --preset fuzz >/dev/null
all=()
for source in fuzz/*_fuzz.cpp; do name=$(basename "$source" _fuzz.cpp); all+=("$name"); done
read -r -a targets <<<"${FUZZ_TARGETS:-${all[*]}}"
ninja -C build/fuzz "${targets[@]/%/_fuzz}" | tail -n 1
for target in "${targets[@]}"; do
  mkdir -p "build/fuzz-corpus/$target" build/fuzz-findings
  echo "== $target, ${FUZZ_SECONDS:-60} s"
  log=build/fuzz-findings/$target.log
  if ! "build/fuzz/fuzz/${target}_fuzz" -max_total_time="${FUZZ_SECONDS:-60}" -runs="${FUZZ_RUNS:--1}" -timeout=5 -rss_limit_mb=2048 -max_len=65536 \
    -artifact_prefix="build/fuzz-findings/$target-" -print_final_stats=1 "build/fuzz-corpus/$target" "fuzz/corpus/$target" >"$log" 2>&1
  then
    tail -n 40 "$log" >&2
    echo "finding in $target: see build/fuzz-findings" >&2
    exit 1
  fi
  grep -E 'stat::number_of_executed_units' "$log"
done
echo "fuzz: ${#targets[@]} targets, no finding"
