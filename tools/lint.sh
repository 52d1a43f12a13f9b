#!/usr/bin/env bash
# Formatter, include directions and clang-tidy, all of them errors. LINT_FAST=1 leaves clang-tidy out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
mapfile -t sources < <(git ls-files -co --exclude-standard '*.cpp' '*.h')
clang-format-19 --dry-run --Werror "${sources[@]}"
echo "format: clean"
python3 tools/check_includes.py
[ "${LINT_FAST:-0}" = 1 ] && exit 0
# clang-tidy reads the compile commands of a clang configuration, so that it sees no option of g++ that it lacks.
cmake -S . -B build/tidy -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DEE_OPTIMIZE="-O0 -g0" >/dev/null
ninja -C build/tidy -t targets all 2>/dev/null | grep -o '^generated/[^:]*' | xargs ninja -C build/tidy ee_precompiled >/dev/null
if [ tools/tidy_scope.cpp -nt build/tidy/tidy_scope.so ]; then
  clang++-19 -std=c++17 -O1 -fPIC -shared -fno-rtti "-I$(llvm-config-19 --includedir)" "-I$(llvm-config-19 --prefix)/include" \
    tools/tidy_scope.cpp -o build/tidy/tidy_scope.so
fi
mapfile -t units < <(git ls-files -co --exclude-standard '*.cpp')
tools/tidy.py build/tidy "${units[@]}"
