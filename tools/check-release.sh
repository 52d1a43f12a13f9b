#!/usr/bin/env bash
# Builds what ships with the reference compiler, and checks what only that build can show: it holds no emulator.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --preset release >/dev/null
ninja -C build/release ee-cp ee-agent ee-launcher | tail -n 1
build/release/ee-cp version
build/release/ee-agent version
for program in ee-cp ee-agent ee-launcher; do
  if nm -C "build/release/$program" | grep -qiE 'emulat(or|edtdx)::'; then
    echo "$program: the emulator is in what ships" >&2
    exit 1
  fi
done
if output=$(env -i EE_ENV=dev EE_ALLOW_EMULATED_TDX=1 EE_DATABASE_URL=sqlite::memory: build/release/ee-cp check-config 2>&1); then
  echo "a build without the emulator accepts EE_ALLOW_EMULATED_TDX" >&2
  exit 1
fi
grep -q -i emulat <<<"$output" || { echo "refused for another reason: $output" >&2; exit 1; }
echo "release: no emulator, and asking for it is refused"
