#!/usr/bin/env bash
# make docs: rewrites the documents that are made from the code; the suite fails when they differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install-packages.sh
cmake --preset dev >/dev/null
ninja -C build/dev ee_common_test ee_cp_domain_test | tail -n 1
EE_UPDATE_DOCS=1 build/dev/ee_common_test --gtest_filter='*IsWhatTheDocumentationShows' --gtest_brief=1
EE_UPDATE_DOCS=1 build/dev/ee_cp_domain_test --gtest_filter='*IsWhatTheDocumentationShows' --gtest_brief=1
git status --short docs
